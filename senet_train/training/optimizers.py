"""The optimizers: torch's own, which change nothing from the first loss on that is not finite.

A constructor takes the groups of parameters, the learning rate and `halted`, (), which is 1 from
that loss on (loss_guard.py). Its keyword-only parameters are the options of its file in conf/.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer

from senet_train.config.options import bind
from senet_train.config.schema import NotNegative, Optim, Positive

Decay = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[list[Decay], Field(min_length=2, max_length=2)]
Groups = list[dict[str, Any]]
Closure = Callable[[], Any] | None


class FlagHalts(Optimizer):
    """A fused optimizer, which leaves weights and state as they are where `halted`, (), is 1.

    So it does where a GradScaler has found an overflow: that sets `found_inf` before a step and
    deletes it afterwards. The device decides; the host does not wait.
    """

    skips_overflows = True
    halted: Tensor

    def step(self, closure: Closure = None) -> Any:
        """One step, or none; what the closure returns, which computes loss and gradients."""
        loss = computed(closure)
        overflow = getattr(self, "found_inf", None)
        self.found_inf = self.halted if overflow is None else torch.maximum(overflow, self.halted)
        super().step()
        if overflow is None:
            del self.found_inf
        return loss


class CopyHalts(Optimizer):
    """An optimizer that torch has not fused: where `halted`, (), is 1, a step is taken back.

    Weights and state are copied before a step, and the device chooses between the two. The host
    does not wait. Its counts of steps go on, which nobody reads: `halted` stays 1 once it is.
    On a CPU there is nothing to wait for: the flag is read, and the step left out.
    """

    skips_overflows = False  # a GradScaler would wait for the device, to know whether to step
    halted: Tensor

    def step(self, closure: Closure = None) -> Any:
        """One step, or none; what the closure returns, which computes loss and gradients."""
        loss = computed(closure)
        if not self.may_ask():
            self.step_or_back()
        elif not self.halted:
            super().step()
        return loss

    def may_ask(self) -> bool:
        """Whether reading the flag makes nobody wait."""
        return self.halted.device.type == "cpu"

    def step_or_back(self) -> None:
        """A step, which is taken back where the flag is 1."""
        tensors = self.learnt()
        before = dict(zip(tensors, torch._foreach_mul([*tensors.values()], 1.0), strict=True))
        super().step()
        halted = self.halted > 0
        for key, tensor in self.learnt().items():  # the first step makes the state, of zeros
            then = before.get(key, torch.zeros_like(tensor))
            tensor.copy_(torch.where(halted, then, tensor))

    def learnt(self) -> dict[tuple[int, str], Tensor]:
        """The parameters that have gradients, and the tensors of their state."""
        found: dict[tuple[int, str], Tensor] = {}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = {k: t for k, t in self.state[parameter].items() if t.dim() > 0}
                    named = {"": parameter.detach(), **state}
                    found |= {(id(parameter), name): tensor for name, tensor in named.items()}
        return found


def computed(closure: Closure) -> Any:
    """What the closure returns, None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


class FusedSGD(FlagHalts, torch.optim.SGD):
    """torch's fused SGD."""

    def __init__(
        self, groups: Groups, lr: float, halted: Tensor, *, momentum: Decay, nesterov: bool
    ) -> None:
        super().__init__(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=True)
        self.halted = halted
        self.start_momentum()

    def start_momentum(self) -> None:
        """Momentum of zeros, from which the first step is the same.

        torch makes it in the first step, and leaves it uninitialised where that one is skipped.
        """
        for group in self.param_groups:
            for parameter in group["params"] if group["momentum"] else ():
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


class FusedAdamW(FlagHalts, torch.optim.AdamW):
    """torch's fused AdamW: Loshchilov and Hutter, arXiv:1711.05101."""

    def __init__(
        self, groups: Groups, lr: float, halted: Tensor, *, betas: Betas, eps: Positive
    ) -> None:
        super().__init__(groups, lr=lr, betas=pair(betas), eps=eps, fused=True)
        self.halted = halted


class RAdam(CopyHalts, torch.optim.RAdam):
    """torch's RAdam: Liu et al., arXiv:1908.03265. Its weight decay is that of AdamW."""

    def __init__(
        self, groups: Groups, lr: float, halted: Tensor, *, betas: Betas, eps: Positive
    ) -> None:
        super().__init__(
            groups, lr=lr, betas=pair(betas), eps=eps, decoupled_weight_decay=True, foreach=True
        )
        self.halted = halted


class NAdam(CopyHalts, torch.optim.NAdam):
    """torch's NAdam: Dozat, 2016. Its weight decay is that of AdamW."""

    def __init__(
        self,
        groups: Groups,
        lr: float,
        halted: Tensor,
        *,
        betas: Betas,
        eps: Positive,
        momentum_decay: NotNegative,
    ) -> None:
        super().__init__(
            groups,
            lr=lr,
            betas=pair(betas),
            eps=eps,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=True,
            foreach=True,
        )
        self.halted = halted


def pair(betas: Sequence[float]) -> tuple[float, float]:
    """The two decays as torch takes them."""
    first, second = betas
    return first, second


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": FusedAdamW,
    "nadam": NAdam,
    "radam": RAdam,
    "sgd": FusedSGD,
}
PLUGINS = "senet_train.optimizer"  # the entry points of optimizers from elsewhere


def build_optimizer(optim: Optim, groups: Groups, halted: Tensor) -> Optimizer:
    """The optimizer that `optim` names, over these groups of parameters. Raises InputError."""
    make, _ = bind(optim.algorithm, OPTIMIZERS, "optim", PLUGINS)
    optimizer: Optimizer = make(groups, optim.lr, halted)
    return optimizer
