"""The training loop: objective, source and settings flow in, the trained objective and its history flow out.

Alone or as one of several processes (`distributed`), which then take the same decisions at the same step.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from wellspring.io.keys import WELL_KEY
from wellspring.train import distributed, schedules, watch
from wellspring.train.checkpoint import Checkpoint, Interrupted, stop_requested
from wellspring.train.data import Batch
from wellspring.train.journal import Journal
from wellspring.train.networks import groups
from wellspring.train.reading import reading, seed_of
from wellspring.train.retrieval_watch import Retrieval
from wellspring.train.sampler import Sampler
from wellspring.train.settings import Settings
from wellspring.train.sources import Source
from wellspring.train.step_status import StatusReduction, StepStatus

logger = logging.getLogger(__name__)


def train(
    method: nn.Module,
    source: Source,
    sampler: Sampler,
    settings: Settings,
    *,
    device: torch.device,
    checkpoint: Checkpoint,
    log_every: int,
    accumulate: int = 1,
    retrieval: Retrieval | None = None,
    retrieve_every: int = 0,
    board: Path | None = None,
    hook: Callable[[int], None] | None = None,
) -> list[dict[str, float]]:
    """Train an objective for the steps of its settings.

    Parameters
    ----------
    method
        Returns terms of the loss and what is watched, as `simclr.SimCLR` does; changed in place.
    source, sampler
        Images, and which of them a step sees.
    settings
        Of the encoder.
    device
        Where to compute.
    checkpoint
        Read first, written in intervals and at SIGTERM or SIGUSR1.
    log_every
        Steps between two rows of the history.
    accumulate
        Parts in which a step's batch is computed, one after the other, before the weights move.
    retrieval, retrieve_every
        What is measured on held-back views, and the steps between; 0 for never.
    board
        Folder for TensorBoard; None for none.
    hook
        Called with each step when it is done.

    Returns
    -------
    list of dict
        Rows of the table `history`.

    Raises
    ------
    FloatingPointError
        A loss is not finite; names the step and the wells of its batch.
    Interrupted
        The process was asked to stop; the checkpoint is written.
    """
    method.to(device).train()
    optimiser = _optimiser(method, settings)
    rates = schedules.cosine(settings.lr, settings.lr * 1e-3, steps=settings.steps, warmup=settings.warmup)
    decays = schedules.cosine(*settings.weight_decay, steps=settings.steps)
    first, history = _resume(method, optimiser, checkpoint)
    status = StatusReduction(device)
    with (
        stop_requested() as stop,
        Journal(history, settings, first=first, board=board) as journal,
        reading(source, sampler, settings, device=device, first=first, accumulate=accumulate) as blocks,
    ):
        for step in range(first, settings.steps):
            last = step == settings.steps - 1
            retrieve = retrieve_every > 0 and (step % retrieve_every == 0 or last)
            noted = retrieve or last or step % log_every == 0
            for group in optimiser.param_groups:
                group["lr"] = float(rates[step])
                group["weight_decay"] = float(decays[step]) if group["decays"] else 0.0
            optimiser.zero_grad(set_to_none=True)
            terms, seen = _gradients(method, blocks, settings, device=device, accumulate=accumulate, keep=noted)
            reduced = status.reduce(step, terms["loss"], stop=stop.is_set(), save=checkpoint.due())
            write = reduced.stop or reduced.save
            for each in (reduced, status.newest()) if noted or write else (reduced,):
                _demand_finite(each, source, sampler)
            distributed.average(method.parameters())
            method.before_update(step)
            nn.utils.clip_grad_norm_(method.parameters(), settings.clip)
            optimiser.step()
            method.after_update(step)
            if noted:
                row = _row(step, terms, seen, rate=float(rates[step]))
                if retrieve and retrieval is not None and distributed.rank() == 0:
                    row |= retrieval.measure(method.encoder, device)
                journal.add(row)
            if hook is not None:
                hook(step)
            if write and distributed.rank() == 0:
                journal.flush()
                checkpoint.write(
                    {
                        "step": step + 1,
                        "method": method.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "history": history,
                    }
                )
                logger.info("checkpoint at step %d", step + 1)
            if reduced.stop and not last:
                raise Interrupted(f"asked to stop at step {step + 1} of {settings.steps}; a rerun goes on from there")
    return history


def _optimiser(method: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    if settings.optimiser not in kinds:
        raise ValueError(f"optimiser: expected one of {sorted(kinds)}, found {settings.optimiser!r}")
    return kinds[settings.optimiser](groups(method), lr=settings.lr)


def _resume(method: nn.Module, optimiser: torch.optim.Optimizer, checkpoint: Checkpoint) -> tuple[int, list[dict]]:
    """Fill in the state of a checkpoint; return the next step and the history so far, the same in all processes."""
    state = checkpoint.read()
    step = 0 if state is None else state["step"]
    most, least = distributed.maximum(torch.tensor([step, -step], device=next(method.parameters()).device)).tolist()
    if most != -least:
        raise ValueError(
            f"{checkpoint.path}: expected one checkpoint for all processes, found steps {-least} to {most}"
        )
    if state is None:
        return 0, []
    method.load_state_dict(state["method"])
    optimiser.load_state_dict(state["optimiser"])
    logger.info("resumed at step %d", step)
    return step, state["history"]


def _gradients(
    method: nn.Module,
    blocks: Iterator[tuple[int, int, Batch]],
    settings: Settings,
    *,
    device: torch.device,
    accumulate: int,
    keep: bool,
) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    """Add up the gradients of a step's blocks; return the mean of their terms, and what is watched where it is kept."""
    means: dict[str, Tensor] = {}
    kept = []
    for _ in range(accumulate):
        step, block, batch = next(blocks)
        seed = seed_of(settings, step, block)
        torch.manual_seed(seed)  # for drop path, which draws from the global state
        terms, seen = method(batch, step, torch.Generator(device).manual_seed(seed))
        (terms["loss"] / accumulate).backward()
        for name, value in terms.items():
            means[name] = means.get(name, 0.0) + value.detach() / accumulate
        if keep:
            kept.append(seen)
    return means, kept


def _row(step: int, terms: dict[str, Tensor], seen: list[dict[str, Tensor]], *, rate: float) -> dict[str, float]:
    """A row of the history, over the whole batch."""
    row = {"Metadata_Step": step} | {name: float(distributed.mean(value)) for name, value in terms.items()}
    features = distributed.gather(torch.cat([each["features"].float() for each in seen]))
    row |= {"lr": rate, "feature_std": watch.feature_std(features), "rank": watch.effective_rank(features)}
    if "teacher" in seen[0]:
        entropy = sum(watch.entropy(each["teacher"]) for each in seen) / len(seen)
        row["teacher_entropy"] = float(distributed.mean(features.new_tensor(entropy)))
    return row


def _demand_finite(reduced: StepStatus, source: Source, sampler: Sampler) -> None:
    if np.isfinite(reduced.loss):
        return
    rows = source.frame.iloc[sampler.draw(reduced.step)][WELL_KEY].drop_duplicates()
    wells = ", ".join(rows.astype(str).agg("/".join, axis=1).head(40))
    raise FloatingPointError(
        f"step {reduced.step}: expected a finite loss, found {reduced.loss}; the batch's wells: {wells}"
    )
