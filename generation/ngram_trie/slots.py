"""Where the tokens of a batch lie in a cache when rows grow at their own pace, and who may attend to them."""

from abc import ABC, abstractmethod

import torch


class Slots(ABC):
    """Slots (columns of keys and values) of the layers of one attention type.

    Attributes:
        lengths: tokens of each row, left padding included.
        first: slots in front that are no longer there.
        window: of sliding-window attention, None without.
        needs_mask: whether a single query behind the last token needs one.

    Args:
        attended: `[batch, tokens]` bool, the prompt's attention mask.
        held: of these tokens, how many at the end are in the cache: fewer than all in sliding-window layers.
    """

    def __init__(self, attended: torch.Tensor, held: int, window: int | None = None):
        rows, tokens = attended.shape
        self.lengths = [tokens] * rows
        self.first = tokens - held
        self.window = window
        self.prompt = torch.where(attended, torch.arange(tokens, device=attended.device), -1)
        self.needs_mask = window is not None or rows > 1 or not bool(attended.all())

    @abstractmethod
    def __len__(self) -> int:
        """How many slots the cache holds."""

    @abstractmethod
    def places(self) -> torch.Tensor:
        """`[batch, slots]`, the index of the token in its row, left padding included; -1 in a slot that holds nothing
        for the row."""

    @abstractmethod
    def keep(self, paths: list[list[int]]) -> None:
        """Each row keeps these of its staged tokens."""

    def mask(self, depths: torch.Tensor, ancestors: torch.Tensor) -> torch.Tensor:
        """Who of a row's staged tokens attends to what.

        Args:
            depths: `[batch, queries]`, place of each staged token behind the row's last one.
            ancestors: `[batch, queries, queries]` bool, True where the second is the first or before it in the tree.

        Returns:
            `[batch, 1, queries, slots + queries]` bool.
        """
        if not self.needs_mask:
            seen = ancestors.new_ones(1, depths.size(1), len(self))
            return torch.cat((seen, ancestors), dim=2)[:, None]
        held = self.places()
        seen = (held >= 0)[:, None].expand(-1, depths.size(1), -1)
        if self.window is not None:
            places = torch.tensor(self.lengths, device=depths.device)[:, None] + depths
            seen = seen & (places[:, :, None] - held[:, None] < self.window)
            ancestors = ancestors & (depths[:, :, None] - depths[:, None] < self.window)
        return torch.cat((seen, ancestors), dim=2)[:, None]


class PackedSlots(Slots):
    """The tokens of a row follow each other, slot by slot."""

    def __len__(self) -> int:
        return max(self.lengths) - self.first

    def places(self) -> torch.Tensor:
        rows, tokens = self.prompt.shape
        generated = torch.arange(tokens, max(self.lengths), device=self.prompt.device).expand(rows, -1)
        if len(set(self.lengths)) > 1:
            lengths = torch.tensor(self.lengths, device=self.prompt.device)
            generated = torch.where(generated < lengths[:, None], generated, -1)
        return torch.cat((self.prompt, generated), dim=1)[:, self.first :]

    def keep(self, paths: list[list[int]]) -> None:
        self.lengths = [length + len(path) for length, path in zip(self.lengths, paths, strict=True)]

    def moves(self, paths: list[list[int]]) -> list[tuple[int, int, int]]:
        """(row, slot, new slot) of staged tokens that are kept and do not lie behind their row's last one yet."""
        return [
            (row, len(self) + node, length - self.first + order)
            for row, (length, path) in enumerate(zip(self.lengths, paths, strict=True))
            for order, node in enumerate(path)
            if len(self) + node != length - self.first + order
        ]

    def drop_unseen(self) -> int:
        """Forget slots in front that no later token sees, and return how many; 0 as long as they are few."""
        if self.window is None:
            return 0
        unseen = min(self.lengths) - (self.window - 1) - self.first
        if unseen < max(64, self.window // 4):
            return 0
        self.first += unseen
        return unseen


class AppendedSlots(Slots):
    """All rows get as many slots at a time; a row that keeps fewer tokens sees only the first of them."""

    def __init__(self, attended: torch.Tensor, held: int, window: int | None = None):
        super().__init__(attended, held, window)
        self._places = self.prompt[:, self.first :]

    def __len__(self) -> int:
        return self._places.size(1)

    def places(self) -> torch.Tensor:
        return self._places

    def keep(self, paths: list[list[int]]) -> None:
        longest = max(map(len, paths))
        new = [
            [length + order if order < len(path) else -1 for order in range(longest)]
            for length, path in zip(self.lengths, paths, strict=True)
        ]
        self._places = torch.cat((self._places, torch.tensor(new, device=self._places.device)), dim=1)
        self.lengths = [length + len(path) for length, path in zip(self.lengths, paths, strict=True)]
