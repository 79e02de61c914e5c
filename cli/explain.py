"""`setaria explain METHOD`: what a method's hyper-parameters ask of the model, as text and curves, without torch."""

import math
import sys
from argparse import ArgumentParser, Namespace

from setaria.trainers.objective_settings import OBJECTIVE_DEFAULTS, ObjectiveSettings, resolve_objective
from setaria.trainers.objective_theory import CURVES, gradient, loss, minimum_logit, sigmoid, target_gap


FORMULAS = {"spo": "SiLU(-u)", "simpo": "softplus(-u)", "cpo": "softplus(-u)", "repo": "ReLU(-u)"}
NAMES = {"spo": "SPO", "simpo": "SimPO", "cpo": "CPO", "repo": "RePO"}
STYLES = {
    "spo": ("#1f6fb2", "-"),
    "simpo": ("#d9722b", "-"),
    "cpo": ("#7a4fa3", (0, (1, 3))),
    "repo": ("#3a8f4d", "--"),
}
# Length at which per-token and per-completion numbers are compared in the text.
EXAMPLE_TOKENS = 200


def add_arguments(parser: ArgumentParser) -> None:
    """Add one sub-parser per method."""
    methods = parser.add_subparsers(dest="method", metavar="METHOD", required=True)
    spo = methods.add_parser("spo", help="SPO and its neighbours SimPO, CPO and RePO", allow_abbrev=False)
    spo.add_argument("--objective", choices=list(OBJECTIVE_DEFAULTS), default="spo", help="default: spo")
    spo.add_argument("--beta", type=float, help="scale of the logit; default: the objective's")
    margin = spo.add_mutually_exclusive_group()
    margin.add_argument("--gamma", type=float, help="target margin, absolute")
    margin.add_argument("--gamma_beta_ratio", type=float, help="target margin as gamma / beta")
    spo.add_argument("--label_smoothing", type=float, default=0.0, help="probability that a label is flipped")
    spo.add_argument(
        "--length_normalize",
        choices=("true", "false"),
        help="scores are means (true) or sums (false) over tokens; default: the objective's",
    )
    spo.add_argument("--png", metavar="OUT", default="explain_spo.png", help="default: explain_spo.png")
    spo.set_defaults(explain=explain_spo)


def run(args: Namespace) -> int:
    """Explain and return the exit code: 2 for settings that are not allowed or a file that cannot be written."""
    try:
        args.explain(args)
    except (ValueError, OSError) as error:
        print(f"setaria explain {args.method}: {error}", file=sys.stderr)
        return 2
    return 0


def explain_spo(args: Namespace) -> None:
    """Print what the settings ask for and draw the four objectives."""
    settings = resolve_objective(
        args.objective,
        args.beta,
        args.gamma,
        args.gamma_beta_ratio,
        None if args.length_normalize is None else args.length_normalize == "true",
        label_smoothing=args.label_smoothing,
    )
    print("\n".join(spo_lines(args.objective, settings, args.label_smoothing)))
    draw_objectives(args.objective, settings, args.label_smoothing, args.png)
    print(f"\ncurves: {args.png}")


def spo_lines(objective: str, settings: ObjectiveSettings, label_smoothing: float) -> list[str]:
    """The explanation, line by line."""
    score = "mean" if settings.length_normalize else "sum"
    unit = "nats per token" if settings.length_normalize else "nats per completion"
    minimum = minimum_logit(objective, label_smoothing)
    margin = settings.gamma / settings.beta
    lines = [
        f"{NAMES[objective]}: loss {FORMULAS[objective]}, u = beta * (s(chosen) - s(rejected)) - gamma, "
        f"s = {score} of the completion's token log-probabilities",
        _settings_text(settings, label_smoothing)
        + (f", plus {settings.sft_weight:g} x NLL of the chosen completion" if settings.sft_weight else ""),
        "",
        _row("equivalent SimPO margin", f"{margin:.3f}", f"{unit}, gamma / beta: where u = 0"),
    ]
    if math.isinf(minimum):
        floor, far = loss(objective, 60.0), target_gap("spo", settings)
        return [
            *lines,
            _row("minimum u*", "none", "every pair is pushed apart for ever"),
            _row("floor of the loss", f"{floor:.3f}", "approached as u grows, never reached"),
            _row("SPO would stop at", f"{far:.3f}", f"{unit}, with this beta and gamma"),
        ]
    gap = target_gap(objective, settings, label_smoothing)
    lines += [
        _row("minimum u*", f"{minimum:.3f}", "flat from here on" if objective == "repo" else "pulled back beyond it"),
        _row("target gap delta*", f"{gap:.3f}", f"{unit}, (gamma + u*) / beta"),
        _row("preference p*", f"{sigmoid(minimum):.3f}", "sigmoid(u*), the model's own at the minimum"),
        _row(
            "floor of the loss",
            f"{loss(objective, minimum, label_smoothing):.3f}",
            "at the minimum; it can be negative",
        ),
        "",
    ]
    return [*lines, *_score_lines(settings, gap)]


def draw_objectives(objective: str, settings: ObjectiveSettings, label_smoothing: float, path: str) -> None:
    """Loss and gradient of the four objectives against u, with the score gap above and `objective`'s u* marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6))
    figure.subplots_adjust(left=0.06, right=0.985, top=0.77, bottom=0.12, wspace=0.16)
    logits = [step / 50 for step in range(-200, 351)]
    minimum = minimum_logit(objective, label_smoothing)
    for axis, curve, title in zip(figure.subplots(1, 2), (loss, gradient), ("loss", "gradient by u"), strict=True):
        for name in CURVES:
            color, style = STYLES[name]
            values = [curve(name, u, label_smoothing) for u in logits]
            width = 2.6 if name == objective else 1.5
            axis.plot(logits, values, color=color, linestyle=style, linewidth=width, label=NAMES[name])
        axis.axhline(0, color="#444444", linewidth=0.8)
        if math.isfinite(minimum):
            axis.axvline(minimum, color="#888888", linestyle=":", linewidth=1.2)
            axis.plot(
                minimum, curve(objective, minimum, label_smoothing), "o", color=STYLES[objective][0], markersize=6
            )
            label = f" u* = {minimum:.2f}"
            axis.annotate(label, (minimum, 0.5), xycoords=axis.get_xaxis_transform(), color="#555555", fontsize=9)
        axis.set_xlabel("u, the scaled gap of the two scores")
        axis.set_title(title, loc="left", fontsize=11)
        axis.margins(x=0)
        axis.grid(alpha=0.25)
        axis.spines["right"].set_visible(False)
        axis.legend(frameon=False, fontsize=9)
        gaps = axis.secondary_xaxis(
            "top",
            functions=(
                lambda u: (u + settings.gamma) / settings.beta,
                lambda gap: gap * settings.beta - settings.gamma,
            ),
        )
        gaps.set_xlabel("gap, nats per " + ("token" if settings.length_normalize else "completion"), fontsize=9)
        gaps.tick_params(labelsize=8)
    figure.suptitle(f"{NAMES[objective]} with {_settings_text(settings, label_smoothing)}", fontsize=12)
    figure.savefig(path, dpi=120)


def _score_lines(settings: ObjectiveSettings, gap: float) -> list[str]:
    """What the target gap is for completions of a usual length, and whether beta fits the kind of score."""
    if settings.length_normalize:
        ratio = math.exp(min(gap, 700))
        lines = [
            f"Means: at delta* a chosen token is on average e^{gap:.2f} = {ratio:.3g} times as likely as a rejected;",
            f"for completions of {EXAMPLE_TOKENS} tokens that is {gap * EXAMPLE_TOKENS:.0f} nats, for longer more.",
        ]
        if gap > 5:
            lines.append("No model can reach this gap: means over tokens want beta of about 2 to 10.")
        return lines
    lines = [
        f"Sums: delta* holds for whole completions of any length, {gap / EXAMPLE_TOKENS:.3f} nats per token at "
        f"{EXAMPLE_TOKENS} tokens;",
        "the longer of two completions scores lower by its length alone.",
    ]
    if gap < 2:
        lines.append("This gap is less than one token's worth: sums want beta of about 0.1.")
    return lines


def _row(name: str, value: str, meaning: str) -> str:
    return f"  {name:<24} {value:>8}   {meaning}"


def _settings_text(settings: ObjectiveSettings, label_smoothing: float) -> str:
    return f"beta {settings.beta:g}, gamma {settings.gamma:g}, label smoothing {label_smoothing:g}"
