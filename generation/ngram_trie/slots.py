"""Where the tokens of a batch lie in a cache when rows grow at their own pace, and who may attend to them."""

import torch


class Slots:
    """Slots (columns of keys and values) of the layers of one attention type.

    Attributes:
        places: `[batch, slots]`, the index of the token in its row, left padding included; -1 in a slot that holds
            nothing for the row.
        lengths: `[batch]`, tokens of each row, left padding included.
        window: of sliding-window attention, None without.
        needs_mask: whether a single query behind the last token needs one.

    Args:
        attended: `[batch, tokens]` bool, the prompt's attention mask.
        held: of these tokens, how many at the end are in the cache: fewer than all in sliding-window layers.
    """

    def __init__(self, attended: torch.Tensor, held: int, window: int | None = None):
        rows, tokens = attended.shape
        places = torch.arange(tokens, device=attended.device).expand(rows, tokens)
        self.places = torch.where(attended, places, -1)[:, tokens - held :]
        self.lengths = torch.full((rows,), tokens, device=attended.device)
        self.window = window
        self.needs_mask = window is not None or rows > 1 or not bool(attended.all())

    def __len__(self) -> int:
        return self.places.size(1)

    def mask(self, depths: torch.Tensor, ancestors: torch.Tensor) -> torch.Tensor:
        """Who of a row's staged tokens attends to what.

        Args:
            depths: `[batch, queries]`, place of each staged token behind the row's last one.
            ancestors: `[batch, queries, queries]` bool, True where the second is the first or before it in the tree.

        Returns:
            `[batch, 1, queries, slots + queries]` bool.
        """
        seen = (self.places >= 0)[:, None].expand(-1, depths.size(1), -1)
        if self.window is not None:
            places = self.lengths[:, None] + depths
            seen = seen & (places[:, :, None] - self.places[:, None] < self.window)
            ancestors = ancestors & (depths[:, :, None] - depths[:, None] < self.window)
        return torch.cat((seen, ancestors), dim=2)[:, None]

    def moves(self, nodes: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """How staged tokens get to the slots behind the last one of their row, see `pack`.

        Args:
            nodes, kept: `[batch, tokens]`, see `Accepted`.

        Returns:
            rows, sources and targets `[moves]` of those that are not there yet.
        """
        first = int(self.lengths.max()) - len(self)
        targets = (self.lengths - first)[:, None] + kept.cumsum(1) - 1
        sources = len(self) + nodes
        rows, columns = (kept & (sources != targets)).nonzero(as_tuple=True)
        return rows, sources[rows, columns], targets[rows, columns]

    def pack(self, counts: torch.Tensor) -> None:
        """Each row gets `counts[row]` tokens in the slots behind its own last one."""
        rows, before = self.places.shape
        first = int(self.lengths.max()) - before
        self.lengths = self.lengths + counts
        slots = torch.arange(first, int(self.lengths.max()), device=counts.device).expand(rows, -1)
        known = torch.cat((self.places, self.places.new_full((rows, slots.size(1) - before), -1)), dim=1)
        is_new = (known < 0) & (slots >= (self.lengths - counts)[:, None]) & (slots < self.lengths[:, None])
        self.places = torch.where(is_new, slots, known)

    def append(self, kept: torch.Tensor) -> None:
        """All rows get new slots behind the last, `[batch, tokens]`; a row sees those that are `kept`."""
        places = self.lengths[:, None] + kept.cumsum(1) - 1
        self.places = torch.cat((self.places, torch.where(kept, places, -1)), dim=1)
        self.lengths = self.lengths + kept.sum(1)

    def drop_unseen(self) -> int:
        """Forget slots in front that no later token sees, and return how many; 0 as long as they are few."""
        if self.window is None:
            return 0
        first = int(self.lengths.max()) - len(self)
        unseen = int(self.lengths.min()) - (self.window - 1) - first
        if unseen < max(64, self.window // 4):
            return 0
        self.places = self.places[:, unseen:]
        return unseen
