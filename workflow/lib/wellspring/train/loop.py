"""The training loop: it makes the steps of an objective and returns the rows of its history.

With several processes (`distributed`), all of them take the same decisions at the same step.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from wellspring.io.keys import WELL_KEY
from wellspring.io.progress import track
from wellspring.screen.sections import Train
from wellspring.train import distributed, schedules, watch
from wellspring.train.checkpoint import Checkpoint, Interrupted, stop_requested
from wellspring.train.data import Batch
from wellspring.train.journal import Journal, Row
from wellspring.train.networks import groups
from wellspring.train.objective import Objective
from wellspring.train.reading import reading, seed_of
from wellspring.train.retrieval_watch import Retrieval
from wellspring.train.sampler import Sampler
from wellspring.train.settings import Settings
from wellspring.train.sources import Source
from wellspring.train.step_status import StatusReduction, StepStatus

logger = logging.getLogger(__name__)

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


def train(
    method: Objective,
    source: Source,
    sampler: Sampler,
    settings: Settings,
    options: Train,
    *,
    device: torch.device,
    checkpoint: Checkpoint,
    retrieval: Retrieval | None = None,
    board: Path | None = None,
    hook: Callable[[int], None] | None = None,
) -> list[Row]:
    """Train an objective for the steps of its settings.

    Parameters
    ----------
    method
        The objective; changed in place.
    source, sampler
        Images, and which of them a step uses.
    settings
        Settings of the encoder.
    options
        The config section `train`: the parts of a batch, and the steps between two rows and two measurements.
    device
        Where to compute.
    checkpoint
        Read first; written at intervals and at SIGTERM or SIGUSR1.
    retrieval
        Measures the retrieval of wells; None for never.
    board
        Folder for TensorBoard; None for none.
    hook
        Called with each step after it is done.

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
    status, accumulate = StatusReduction(device), options.accumulate
    with (
        stop_requested() as stop,
        Journal(history, settings, first=first, board=board) as journal,
        reading(source, sampler, settings, device=device, first=first, accumulate=accumulate) as blocks,
    ):
        for step in track(range(first, settings.steps), total=settings.steps, unit="steps", done=first):
            last = step == settings.steps - 1
            retrieve = options.retrieve_every > 0 and (step % options.retrieve_every == 0 or last)
            noted = retrieve or last or step % options.log_every == 0
            rate = _set_rates(optimiser, rate=rates[step], decay=decays[step])
            terms, seen = _gradients(method, blocks, settings, device=device, accumulate=accumulate, keep=noted)
            reduced = status.reduce(step, terms["loss"], stop=stop.is_set(), save=checkpoint.due())
            write = reduced.stop or reduced.save
            # The GPU is waited for only when a row or a checkpoint is written.
            for each in (reduced, status.newest()) if noted or write else (reduced,):
                _demand_finite(each, source, sampler)
            distributed.average(method.parameters())
            method.before_update(step)
            nn.utils.clip_grad_norm_(method.parameters(), settings.clip)
            optimiser.step()
            method.after_update(step)
            if noted:
                row = _row(step, terms, seen, rate=rate)
                if retrieve and retrieval is not None and distributed.rank() == 0:
                    row |= retrieval.measure(method.encoder, device)
                journal.add(row)
            if hook is not None:
                hook(step)
            if write and distributed.rank() == 0:
                journal.flush()
                _save(checkpoint, method, optimiser, history, step=step + 1)
            if reduced.stop and not last:
                raise Interrupted(f"asked to stop at step {step + 1} of {settings.steps}; a rerun continues from there")
    return history


def _optimiser(method: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    if settings.optimiser not in OPTIMISERS:
        raise ValueError(f"encoders.optimiser: expected one of {sorted(OPTIMISERS)}, found {settings.optimiser!r}")
    return OPTIMISERS[settings.optimiser](groups(method), lr=settings.lr)


def _resume(method: nn.Module, optimiser: torch.optim.Optimizer, checkpoint: Checkpoint) -> tuple[int, list[Row]]:
    """Load the state of a checkpoint; return the next step and the history so far, the same in all processes."""
    state = checkpoint.read()
    step: int = 0 if state is None else state["step"]
    most, least = distributed.maximum(torch.tensor([step, -step], device=next(method.parameters()).device)).tolist()
    if most != -least:
        raise ValueError(
            f"{checkpoint.path}: expected one checkpoint for all processes, found steps {-least} to {most}; "
            "all nodes must read the same folder"
        )
    if state is None:
        return 0, []
    method.load_state_dict(state["method"])
    optimiser.load_state_dict(state["optimiser"])
    logger.info("resumed at step %d", step)
    history: list[Row] = state["history"]
    return step, history


def _save(
    checkpoint: Checkpoint, method: nn.Module, optimiser: torch.optim.Optimizer, history: list[Row], *, step: int
) -> None:
    """Write the state from which `_resume` continues at `step`."""
    state = {"method": method.state_dict(), "optimiser": optimiser.state_dict(), "history": history}
    checkpoint.write({"step": step} | state)
    logger.info("checkpoint at step %d", step)


def _set_rates(optimiser: torch.optim.Optimizer, *, rate: float, decay: float) -> float:
    """Set the learning rate and weight decay of a step, and discard the gradients of the step before."""
    for group in optimiser.param_groups:
        group["lr"] = float(rate)
        group["weight_decay"] = float(decay) if group["decays"] else 0.0
    optimiser.zero_grad(set_to_none=True)
    return float(rate)


def _gradients(
    method: nn.Module,
    blocks: Iterator[tuple[int, int, Batch]],
    settings: Settings,
    *,
    device: torch.device,
    accumulate: int,
    keep: bool,
) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    """Add up the gradients of a step's blocks; return the means of their terms and, with `keep`, what is watched."""
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


def _row(step: int, terms: dict[str, Tensor], seen: list[dict[str, Tensor]], *, rate: float) -> Row:
    """Return a row of the history, over the batch of all processes."""
    row: Row = {"Metadata_Step": step} | {name: float(distributed.mean(value)) for name, value in terms.items()}
    features = distributed.gather(torch.cat([each["features"].float() for each in seen]))
    row |= {"lr": rate, "feature_std": watch.feature_std(features), "rank": watch.effective_rank(features)}
    if "teacher" in seen[0]:
        entropy = sum(watch.entropy(each["teacher"]) for each in seen) / len(seen)
        row["teacher_entropy"] = float(distributed.mean(features.new_tensor(entropy)))
    return row


def _demand_finite(status: StepStatus, source: Source, sampler: Sampler) -> None:
    if np.isfinite(status.loss):
        return
    rows = source.frame.iloc[sampler.draw(status.step)][WELL_KEY].drop_duplicates()
    wells = ", ".join(rows.astype(str).agg("/".join, axis=1).head(40))
    raise FloatingPointError(
        f"step {status.step}: expected a finite loss, found {status.loss}; the batch's wells: {wells}"
    )
