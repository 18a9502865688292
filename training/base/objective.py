"""What pretraining minimises, as one module, so that it can be spread over devices and compiled."""

from __future__ import annotations

from typing import Any

import torch

from training.base.stream import IGNORED


class Objective(torch.nn.Module):
    """The model and its loss. `precision` is that of the arithmetic, float32 or bfloat16; the weights are float32."""

    def __init__(self, model: Any, device: torch.device, precision: str = "float32") -> None:
        super().__init__()
        self.model = model.to(device)
        self.device = device
        self.precision = precision

    def forward(
        self, ids: torch.Tensor, labels: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean loss over the learned tokens (0 where there are none), and whether each was predicted right.

        All arguments have the shape (windows, length). The vocabulary's matrix, the largest, is multiplied only where
        a token is learned: a fifth of a grounded document.
        """
        ids, labels, positions = (tensor.to(self.device) for tensor in (ids, labels, positions))
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16"):
            hidden = self.model.model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
            learned = labels[:, 1:] != IGNORED
            logits = self.model.lm_head(hidden[:, :-1][learned]).float()
        wanted = labels[:, 1:][learned]
        # The mean of nothing is not a number; its sum is.
        loss = torch.nn.functional.cross_entropy(logits, wanted, reduction="mean" if len(wanted) else "sum")
        return loss, logits.argmax(dim=-1) == wanted
