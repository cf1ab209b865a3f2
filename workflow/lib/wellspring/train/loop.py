"""The training loop: objective, source and settings flow in, the trained objective and its history flow out."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn

from wellspring.train import schedules, watch
from wellspring.train.checkpoint import Checkpoint, Interrupted, stop_requested
from wellspring.train.data import Batch, load
from wellspring.train.networks import groups
from wellspring.train.sampler import Sampler, generator
from wellspring.train.settings import Settings
from wellspring.train.sources import Source

logger = logging.getLogger(__name__)

READ, SEED = 3, 4  # streams of random numbers beside the sampler's
READERS = 8  # threads that read ahead, at most; half of the job's threads


def train(
    method: nn.Module,
    source: Source,
    sampler: Sampler,
    settings: Settings,
    *,
    device: torch.device,
    checkpoint: Checkpoint,
    log_every: int,
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
        Read first, written in intervals and at SIGTERM or SIGUSR1, removed at the end.
    log_every
        Steps between two rows of the history.
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
    began = time.monotonic()
    with stop_requested() as stop:
        for step, batch in _batches(source, sampler, settings, device=device, first=first):
            for group in optimiser.param_groups:
                group["lr"] = float(rates[step])
                group["weight_decay"] = float(decays[step]) if group["decays"] else 0.0
            seed = int(generator(settings.seed, step, stream=SEED).integers(2**62))
            torch.manual_seed(seed)  # for drop path, which draws from the global state
            terms, seen = method(batch, step, torch.Generator(device).manual_seed(seed))
            if not math.isfinite(float(terms["loss"].detach())):
                raise FloatingPointError(_origin(source, sampler.draw(step), step, terms))
            optimiser.zero_grad(set_to_none=True)
            terms["loss"].backward()
            method.before_update(step)
            nn.utils.clip_grad_norm_(method.parameters(), settings.clip)
            optimiser.step()
            method.after_update(step)
            if step % log_every == 0 or step == settings.steps - 1:
                history.append(_row(step, terms, seen, rate=float(rates[step])))
                _say(history[-1], done=step + 1 - first, left=settings.steps - step - 1, began=began)
            if hook is not None:
                hook(step)
            if stop.is_set() or checkpoint.due():
                checkpoint.write(
                    {
                        "step": step + 1,
                        "method": method.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "history": history,
                    }
                )
                logger.info("checkpoint at step %d", step + 1)
            if stop.is_set() and step + 1 < settings.steps:
                raise Interrupted(f"asked to stop at step {step + 1} of {settings.steps}; a rerun goes on from there")
    return history


def _optimiser(method: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    if settings.optimiser not in kinds:
        raise ValueError(f"optimiser: expected one of {sorted(kinds)}, found {settings.optimiser!r}")
    return kinds[settings.optimiser](groups(method), lr=settings.lr)


def _resume(method: nn.Module, optimiser: torch.optim.Optimizer, checkpoint: Checkpoint) -> tuple[int, list[dict]]:
    """Fill in the state of a checkpoint; return the next step and the history so far."""
    state = checkpoint.read()
    if state is None:
        return 0, []
    method.load_state_dict(state["method"])
    optimiser.load_state_dict(state["optimiser"])
    logger.info("resumed at step %d", state["step"])
    return state["step"], state["history"]


def _batches(
    source: Source, sampler: Sampler, settings: Settings, *, device: torch.device, first: int
) -> Iterator[tuple[int, Batch]]:
    """Yield steps and their batches, read ahead in threads: what a step sees depends on its number alone."""

    def read(step: int) -> Batch:
        rng = generator(settings.seed, step, stream=READ)
        return load(source, sampler.draw(step), sites=settings.sites, rng=rng, device=device)

    readers = min(max(torch.get_num_threads() // 2, 1), READERS)
    ahead = 2 * readers
    with ThreadPoolExecutor(readers) as pool:
        waiting = [pool.submit(read, step) for step in range(first, min(first + ahead, settings.steps))]
        for step in range(first, settings.steps):
            batch = waiting.pop(0).result()
            if step + ahead < settings.steps:
                waiting.append(pool.submit(read, step + ahead))
            yield step, batch


def _row(step: int, terms: dict[str, Tensor], seen: dict[str, Tensor], *, rate: float) -> dict[str, float]:
    row = {"Metadata_Step": step} | {name: float(value.detach()) for name, value in terms.items()}
    row |= {"lr": rate, "feature_std": watch.feature_std(seen["features"])}
    row["rank"] = watch.effective_rank(seen["features"])
    if "teacher" in seen:
        row["teacher_entropy"] = watch.entropy(seen["teacher"])
    return row


def _say(row: dict[str, float], *, done: int, left: int, began: float) -> None:
    rate = done / max(time.monotonic() - began, 1e-9)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "Metadata_Step")
    logger.info("step %d: %s (%.2f steps/s, %.0f s left)", row["Metadata_Step"], figures, rate, left / rate)


def _origin(source: Source, items: np.ndarray, step: int, terms: dict[str, Tensor]) -> str:
    rows = source.frame.iloc[items][["Metadata_Plate", "Metadata_Well"]].drop_duplicates()
    wells = ", ".join(rows.astype(str).agg("/".join, axis=1).head(40))
    values = {name: float(value.detach()) for name, value in terms.items()}
    return f"step {step}: expected a finite loss, found {values}; the batch's wells: {wells}"
