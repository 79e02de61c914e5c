"""Served models: a real server, `transformers serve` on loopback, with a tiny vision-language model."""

import os
import socket
import subprocess
import sys
import time

import httpx2
import pytest
import torch
from PIL import Image
from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.utils.import_utils import is_serve_available

from setaria.agents.backtrack.endpoint import Endpoint, EndpointError
from setaria.models.tiny import byte_tokenizer


pytestmark = pytest.mark.skipif(
    not is_serve_available(), reason="transformers serve needs more packages: pip install 'transformers[serving]'"
)
QUESTION = "Is the page white?"


def asking(color):
    parts = [{"type": "image", "image": Image.new("RGB", (20, 30), color)}, {"type": "text", "text": QUESTION}]
    return [{"role": "user", "content": parts}]


@pytest.fixture(scope="module")
def judging_checkpoint(tmp_path_factory):
    """A tiny LLaVA that has learned to say Yes to a white page and No to a black one.

    A server loads its processor without torchvision, which it does not for the Qwen-VL families.
    """
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["Yes", "No"])
    sizes = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    processor = LlavaProcessor(
        CLIPImageProcessorPil(**sizes),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=1,
        image_token="<|image_pad|>",
        chat_template=tokenizer.chat_template,
    )
    width = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    vision = {"num_hidden_layers": 1, "image_size": 16, "patch_size": 8, "projection_dim": 16}
    special = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **width, **vision},
        text_config={"model_type": "llama", **width, "vocab_size": len(tokenizer), "num_hidden_layers": 2, **special},
        image_token_index=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    prompt = processor.apply_chat_template(asking("white"), add_generation_prompt=True, tokenize=False)
    pages = [Image.new("RGB", (20, 30), color) for color in ("white", "black")]
    batch = processor(text=[f"{prompt}Yes<|im_end|>", f"{prompt}No<|im_end|>"], images=pages, return_tensors="pt")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlavaForConditionalGeneration(config)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(100):
        logits = model(**batch).logits[:, -3:-1]  # those of the answer and of the end of the turn
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["input_ids"][:, -2:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    folder = tmp_path_factory.mktemp("judging")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def served(judging_checkpoint):
    """Address of `transformers serve` with the judging model."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(judging_checkpoint)]
    log = judging_checkpoint / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [*command, "--device", "cpu", "--host", "127.0.0.1", "--port", port],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 180
        while not _healthy(port):
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _healthy(port):
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx2.TransportError:
        return False


def test_a_real_server_sees_the_images(served, judging_checkpoint):
    endpoint = Endpoint(served, str(judging_checkpoint), max_tokens=4)
    conversations = [asking(color) for color in ("white", "black", "black", "white")]
    assert endpoint.generate(conversations) == ["Yes", "No", "No", "Yes"]
    assert endpoint.yes_probability(conversations) == [1.0, 0.0, 0.0, 1.0]  # it gives no log-probabilities


def test_a_real_server_refuses_another_model(served):
    with pytest.raises(EndpointError, match=r"status 400.*Server is pinned to"):
        Endpoint(served, "another").generate([asking("white")])
