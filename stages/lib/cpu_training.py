"""What makes a trainer's step cheap without a GPU; gradients stay what they were.

Left as they are, two thirds of a step on a CPU are not matrix products but copies around them: peft casts every input of every
adapted layer to float32 and back and adds LoRA's part in passes of its own, and a score is kept for each entry of the vocabulary.
Heavy imports: to be imported where it is used.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from trl.trainer.utils import FusedCausalLMOutput

from stages.lib.llm.branches import common_beginning, read_rows
from stages.lib.llm.load import device
from stages.lib.training import IGNORE

CHUNK = 64
"""Tokens whose scores are held at a time: few enough to stay near the processor."""
SHARING = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names of layers that a block of Llama's shape gives one and the same input."""


def lean_on_cpu(trainer: Any, temperature: float = 1.0) -> Any:
    """Without a GPU, let the trainer's model attend by plain products, add LoRA's part in place and score only learned tokens.

    Off the GPU, TRL's fused head (`trl.trainer.utils.add_fused_lm_head`) scores every position, prompts and padding too, in
    tiles of the vocabulary with float32 products, and the backward pass of torch's fused attention is slow. With a GPU
    all stays as it is.
    """
    if device() == "cuda":
        return trainer
    model = trainer.model.get_base_model() if isinstance(trainer.model, PeftModel) else trainer.model
    model.set_attn_implementation("eager")
    lean_adapters(model)
    unfused = model.forward

    @functools.wraps(type(model).forward)  # generate looks at the signature
    def forward(*args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        if not fused_lm_head:
            return unfused(*args, **kwargs, **({} if labels is None else {"labels": labels}))
        kwargs.pop("num_items_in_batch", None)
        mask = labels[:, 1:] != IGNORE
        hidden = _hidden(model, labels != IGNORE, *args, **{**kwargs, "use_cache": False})[:, :-1]
        head, targets = model.get_output_embeddings(), labels[:, 1:][mask]
        if _is_frozen(head):
            per_token = score_tokens(hidden[mask], head.weight, targets, temperature)
        else:
            per_token = _scored(head(hidden[mask]), targets, temperature)
        loss = -per_token[0].sum() / mask.sum().clamp(min=1)
        named = zip(("log_probs", "entropy", "is_top1"), per_token, strict=True)
        spread = {name: value.new_zeros(mask.shape).masked_scatter(mask, value) for name, value in named}
        return FusedCausalLMOutput(loss=loss, label_mask=mask, **spread)

    model.forward = forward
    return trainer


def _hidden(model: Any, learned: Any, *args: Any, **kwargs: Any) -> Any:
    """What the head is given of all tokens that predict a learned one [rows, columns, d]; zeros where rows begin alike."""
    given = {name for name, value in kwargs.items() if value is not None}
    plain = not args and given == {"input_ids", "attention_mask", "use_cache"}
    shared = common_beginning(model, kwargs["input_ids"], kwargs["attention_mask"], learned) if plain else 0
    if not shared:
        return model.base_model(*args, **kwargs).last_hidden_state
    return torch.nn.functional.pad(read_rows(model, kwargs["input_ids"], shared), (0, 0, shared, 0))


def lean_adapters(model: Any) -> None:
    """Let all LoRA layers of `model` add their part in place; layers with one input work together."""
    for layers in _with_one_input(model):
        together = _Together(layers)
        for layer in layers:
            layer.forward = functools.partial(together.adapted, layer)


def score_tokens(hidden: Any, weight: Any, targets: Any, temperature: float = 1.0) -> tuple[Any, Any, Any]:
    """Hidden states [n, d], a head [vocabulary, d] that is not trained and tokens [n] -> log-probability, entropy, whether the
    token is the likeliest, each [n]. Only log-probabilities carry a gradient."""
    scored: tuple[Any, Any, Any] = _Scored.apply(hidden, weight, targets, temperature)
    return scored


def _with_one_input(model: Any) -> Iterator[list[Linear]]:
    """All adapted layers, in groups that are given the same input."""
    for block in model.modules():
        adapted = {name: layer for name, layer in block.named_children() if isinstance(layer, Linear)}
        for names in (*SHARING, *((name,) for name in adapted if not any(name in group for group in SHARING))):
            layers = [adapted[name] for name in names if name in adapted]
            if layers:
                yield layers


def _is_frozen(head: Any) -> bool:
    return head.bias is None and not head.weight.requires_grad


def _scored(scores: Any, targets: Any, temperature: float) -> tuple[Any, Any, Any]:
    """Scores [n, vocabulary] and tokens [n] -> log-probability, entropy, whether the token is the likeliest, each [n]."""
    log_probs = _log_probs(scores, temperature)
    with torch.no_grad():
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        is_top1 = log_probs.argmax(-1) == targets
    return log_probs.gather(-1, targets[:, None])[:, 0], entropy, is_top1


def _log_probs(scores: Any, temperature: float) -> Any:
    scores = scores.float()
    return (scores if temperature == 1 else scores / temperature).log_softmax(-1)


class _Scored(torch.autograd.Function):
    """`_scored` from hidden states [n, d] and a head [vocabulary, d] that is not trained, some tokens at a time.

    How a log-probability changes with its own hidden state depends on nothing that comes after it, so that is worked out along
    with it, and no scores outlive their tokens.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, targets: Any, temperature: float) -> tuple[Any, Any, Any]:
        """See `_scored`."""
        parts, slopes = [], []
        for rows, wanted in zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True):
            log_probs = _log_probs(rows @ weight.T, temperature)
            chosen, is_top1 = log_probs.gather(-1, wanted[:, None])[:, 0], log_probs.max(-1).indices == wanted
            probs = log_probs.exp()
            parts.append((chosen, -log_probs.mul_(probs).sum(-1), is_top1))
            lacking = probs.neg_().scatter_add_(-1, wanted[:, None], torch.ones_like(probs[:, :1]))
            slopes.append((lacking.to(weight.dtype) @ weight).div_(temperature))
        ctx.save_for_backward(torch.cat(slopes))
        log_probs, entropy, is_top1 = (torch.cat(column) for column in zip(*parts, strict=True))
        ctx.mark_non_differentiable(entropy, is_top1)
        return log_probs, entropy, is_top1

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, None, None, None]:
        """Only log-probabilities carry a gradient."""
        (slopes,) = ctx.saved_tensors
        return slopes * grads[0][:, None].to(slopes.dtype), None, None, None


class _Together:
    """Adapted layers that a block gives one and the same input: the first that is asked works out all of them."""

    def __init__(self, layers: Sequence[Linear]) -> None:
        self.layers = layers
        self.given: Any = None
        self.results: dict[Linear, Any] = {}
        """Those of `given` that were not asked for yet."""

    def adapted(self, layer: Linear, given: Any, *args: Any, **kwargs: Any) -> Any:
        """`forward` of a peft layer; by `_Adapted` where each is one plain adapter on a layer that is not trained itself."""
        if args or kwargs or not all(map(_is_plain, self.layers)):
            return type(layer).forward(layer, given, *args, **kwargs)
        if self.given is not given or layer not in self.results:
            parts = [_parts(each) for each in self.layers]
            weights = (each for kind in zip(*parts, strict=True) for each in kind)
            scaling = [each.scaling[each.active_adapters[0]] for each in self.layers]
            self.given, self.results = given, dict(zip(self.layers, _Adapted.apply(given, scaling, *weights), strict=True))
        result = self.results.pop(layer)
        if not self.results:
            self.given = None
        return result


def _is_plain(layer: Linear) -> bool:
    name = layer.active_adapters[0] if len(layer.active_adapters) == 1 else ""
    plain = name in layer.lora_A and name not in layer.lora_variant and isinstance(layer.lora_dropout[name], torch.nn.Identity)
    return plain and not layer.merged and not layer.disable_adapters and _is_frozen(layer.get_base_layer())


def _parts(layer: Linear) -> tuple[Any, Any, Any]:
    name = layer.active_adapters[0]
    return layer.get_base_layer().weight, layer.lora_A[name].weight, layer.lora_B[name].weight


class _Adapted(torch.autograd.Function):
    """x [..., in] -> x W' + scaling x A' B' [..., out] for each layer, in the type of the frozen W.

    LoRA's own weights are cast once, all A are one product, and what x gets back from each layer is summed by the products.
    """

    @staticmethod
    def forward(ctx: Any, given: Any, scaling: Sequence[float], *weights: Any) -> tuple[Any, ...]:
        """All W [out, in], then all A [rank, in], then all B [out, rank]."""
        count = len(scaling)
        frozen, down, up = weights[:count], weights[count : 2 * count], weights[2 * count :]
        rows = given.reshape(-1, given.shape[-1]).to(frozen[0].dtype)
        small, large = torch.cat(down).to(rows.dtype), [each.to(rows.dtype) for each in up]
        ctx.ranks = [len(each) for each in down]
        lows = (rows @ small.T).split(ctx.ranks, dim=1)
        layers = zip(frozen, lows, large, scaling, strict=True)
        results = [(rows @ weight.T).addmm_(low, wide.T, alpha=scale) for weight, low, wide, scale in layers]
        ctx.save_for_backward(rows, small, *lows, *frozen, *large)
        ctx.scaling, ctx.dtype = scaling, given.dtype
        return tuple(result.view(*given.shape[:-1], -1) for result in results)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        """The gradients of x, and of each A and B; W is frozen."""
        count = len(ctx.scaling)
        rows, small, *saved = ctx.saved_tensors
        lows, frozen, large = saved[:count], saved[count : 2 * count], saved[2 * count :]
        flat = [grad.reshape(-1, grad.shape[-1]) for grad in grads]
        along = torch.cat([(grad @ wide).mul_(scale) for grad, wide, scale in zip(flat, large, ctx.scaling, strict=True)], 1)
        back = None
        if ctx.needs_input_grad[0]:
            back = along @ small
            for grad, weight in zip(flat, frozen, strict=True):
                back.addmm_(grad, weight)
            back = back.to(ctx.dtype).view(*grads[0].shape[:-1], -1)
        down = (along.T @ rows).float().split(ctx.ranks)
        up = [(grad.T @ low).float().mul_(scale) for grad, low, scale in zip(flat, lows, ctx.scaling, strict=True)]
        return back, None, *(None for _ in frozen), *down, *up
