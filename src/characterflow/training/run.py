"""One training run, of either kind: the loop around a policy and an objective.

DeepspeedStrategy and Actor are OpenRLHF's. The loop is not its DPOTrainer.fit or SFTTrainer.fit: those
have no place for the KL term, keep a second model as the reference, compute the logits of prompts, leave
out the last incomplete batch, log the last micro-batch of an update, and checkpoint by pickle.
"""

import copy
import resource
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor
from torch import distributed as dist

from characterflow.core.errors import UserError
from characterflow.core.files import (
    MANIFEST,
    atomic_folder,
    canonical_json,
    file_digest,
    manifest_digest,
    text_digest,
    write_json,
)
from characterflow.core.job import progress
from characterflow.core.lineage import run_record
from characterflow.machine.devices import has_gpu
from characterflow.training import checkpoint
from characterflow.training.distributed import Strategy
from characterflow.training.examples import Batch, Row, collate
from characterflow.training.log import FILE, TrainingLog, finite
from characterflow.training.order import deal, held_out, micro_batches, updates
from characterflow.training.policy import (
    Policy,
    adapter_of,
    add_adapter,
    dtype_of,
    fold_into,
    load_model,
    require_adapter,
)
from characterflow.training.settings import Settings
from characterflow.training.task import Task

PACKAGES = ("torch", "transformers", "peft", "deepspeed", "openrlhf")
# Settings on which the trained adapter does not depend.
INCIDENTAL = ("checkpoint_every", "wandb")


@dataclass(frozen=True)
class Examples:
    """Tokenised data. keys: what must not be split between training and evaluation, one for each row.

    counts: rows read, used and dropped, by reason, for the record.
    """

    rows: list[Row]
    keys: list[str]
    counts: dict[str, int]


class Objective(ABC):
    """A loss, and the figures that are logged with it, as sums over units: pairs, or tokens."""

    @abstractmethod
    def units(self, row: Row) -> int:
        """How many units a row holds."""

    @abstractmethod
    def terms(self, policy: Policy, batch: Batch) -> dict[str, Tensor]:
        """Scalars summed over the batch's units; "loss" carries the gradient."""


def train(task: Task, settings: Settings, objective: Objective, examples: Examples) -> None:
    """Train an adapter and write its folder, going on from a checkpoint of the same training if there is one.

    Raises UserError where there is nothing to train on, and where the loss stops being finite.
    """
    strategy = Strategy(settings, dtype_of(settings.dtype))
    strategy.setup_distributed()
    digests = _digests(task)
    out = held_out(examples.keys, settings.evaluation_share, settings.seed)
    kept = [row for number, row in enumerate(examples.rows) if number not in out]
    if not kept:
        raise UserError(f"{task.data}: no examples to train on ({_counts_text(examples.counts)})")
    progress_of(strategy, f"{len(kept)} examples, {len(out)} held out ({_counts_text(examples.counts)})")
    evaluation = [examples.rows[number] for number in sorted(out)]
    inputs = _inputs_digest(settings, digests)
    loop = Loop(task, settings, objective, kept, evaluation, strategy, inputs)
    loop.run()
    if strategy.is_rank_0():
        counts = examples.counts | {"trained": len(kept), "held_out": len(out), "updates": loop.steps}
        _write_output(task, settings, loop, digests, counts)
    dist.barrier()


class Loop:
    """The updates of one run."""

    def __init__(
        self,
        task: Task,
        settings: Settings,
        objective: Objective,
        rows: Sequence[Row],
        evaluation: Sequence[Row],
        strategy: Strategy,
        inputs: str,
    ) -> None:
        self.task, self.settings, self.objective, self.strategy = task, settings, objective, strategy
        self.rows, self.evaluation, self.inputs = rows, evaluation, inputs
        self.steps = settings.epochs * len(self._epoch(0))
        self.policy = Policy(_adapted_model(task, settings))
        strategy.start(self.policy, settings, self.steps)
        self.engine = self.policy.model
        self.step = self._resume()

    def run(self) -> None:
        """Make all updates that are still to be made."""
        if self.strategy.is_rank_0():
            self.log = TrainingLog(self.task.work, self.settings.wandb, asdict(self.settings))
        per_epoch = self.steps // self.settings.epochs
        for epoch in range(self.step // per_epoch, self.settings.epochs):
            for update in self._epoch(epoch)[self.step - epoch * per_epoch :]:
                self._record("train", self._update(update), per_epoch)
                if self.evaluation and self.step % per_epoch == 0:
                    self._record("evaluation", self._evaluate(), per_epoch)
                self._save_checkpoint()
        if self.strategy.is_rank_0():
            self.log.close()

    def _epoch(self, epoch: int) -> list[list[list[int]]]:
        lengths = [len(row.tokens) for row in self.rows]
        settings = self.settings
        return updates(lengths, settings.batch_size, settings.micro_batch_size, settings.seed, epoch)

    def _update(self, update: list[list[int]]) -> dict[str, Any]:
        """One update of the weights; returns its row of the log."""
        start = time.monotonic()
        rank, world_size = dist.get_rank(), dist.get_world_size()
        # Dropout draws from a state that is a function of seed, update and process, so none is stored.
        torch.manual_seed(int(text_digest(f"{self.settings.seed}:{self.step}:{rank}")[:8], 16))
        self.policy.train()
        numbers = [number for batch in update for number in batch]
        units = sum(self.objective.units(self.rows[number]) for number in numbers)
        dealt = deal(update, rank, world_size)
        sums: dict[str, Tensor] = {}
        for place, (batch, counts) in enumerate(dealt, start=1):
            self.engine.set_gradient_accumulation_boundary(place == len(dealt))
            terms = self.objective.terms(self.policy, self._batch(self.rows, batch))
            # DeepSpeed takes the mean of the gradients over the processes.
            self.engine.backward(terms["loss"] * (counts * world_size / units))
            _add(sums, terms, counts)
        row: dict[str, Any] = self._means(sums, units)
        self._require_finite(row)
        row["learning_rate"] = self.engine.lr_scheduler.get_last_lr()[0]
        self.engine.step()
        row["gradient_norm"] = self.strategy.get_grad_norm(self.policy)
        self._require_finite(row)
        self.step += 1
        row["tokens"] = sum(self.rows[number].length for number in numbers)
        row["seconds"] = round(time.monotonic() - start, 3)
        return row

    @torch.no_grad()
    def _evaluate(self) -> dict[str, Any]:
        """The objective's terms over the examples held out."""
        self.policy.eval()
        lengths = [len(row.tokens) for row in self.evaluation]
        sums: dict[str, Tensor] = {}
        batches = micro_batches(range(len(lengths)), lengths, self.settings.micro_batch_size)
        for batch, counts in deal(batches, dist.get_rank(), dist.get_world_size()):
            _add(sums, self.objective.terms(self.policy, self._batch(self.evaluation, batch)), counts)
        return self._means(sums, sum(map(self.objective.units, self.evaluation)))

    def _batch(self, rows: Sequence[Row], numbers: list[int]) -> Batch:
        return collate([rows[number] for number in numbers]).to(self.engine.device)

    def _means(self, sums: dict[str, Tensor], units: int) -> dict[str, float]:
        """Sums of this process as means over all processes' units."""
        values = self.strategy.total(torch.stack([value.double() for value in sums.values()]))
        return dict(zip(sums, (values / units).tolist(), strict=True))

    def _record(self, split: str, row: dict[str, Any], per_epoch: int) -> None:
        if self.strategy.is_rank_0():
            head = {"split": split, "step": self.step, "epoch": self.step / per_epoch}
            self.log.write(head | row, self.steps)

    def _require_finite(self, row: dict[str, Any]) -> None:
        if not finite(row):
            figures = ", ".join(f"{key} {value:.4g}" for key, value in row.items())
            raise UserError(
                f"training diverged at update {self.step + 1} of {self.steps} ({figures}); try a lower "
                f"learning_rate, or dtype float32; the log is {self.task.work / FILE}"
            )

    def _resume(self) -> int:
        """Updates already made, as a checkpoint of this training says; without one the folder is emptied."""
        found, damages = checkpoint.find(self.task.work, self.inputs)
        dist.barrier()
        for damage in damages:
            progress_of(self.strategy, damage)
        step = checkpoint.load(found, self.engine) if found else 0
        if self.strategy.is_rank_0():
            checkpoint.restore_log(found, self.task.work)
        if found:
            progress_of(self.strategy, f"going on after update {step} of {self.steps}")
        return step

    def _save_checkpoint(self) -> None:
        every = self.settings.checkpoint_every
        if every and self.step % every == 0 and self.step < self.steps:
            checkpoint.save(self.task.work, self.engine, self.inputs, self.strategy.is_rank_0())


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put the place before the message of a UserError raised in the block."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def progress_of(strategy: Strategy, message: str) -> None:
    """Progress, said by one process."""
    if strategy.is_rank_0():
        progress(message)


def _add(sums: dict[str, Tensor], terms: dict[str, Tensor], counts: bool) -> None:
    """Add a micro-batch's terms to the sums, where it counts."""
    for key, value in terms.items():
        sums[key] = sums.get(key, 0.0) + value.detach() * counts


def _adapted_model(task: Task, settings: Settings) -> PeftModel:
    model = load_model(task.model, dtype_of(settings.dtype), task.trust_remote_code)
    if task.adapter is not None:
        model = fold_into(model, task.adapter)
    return add_adapter(model, settings)


def _digests(task: Task) -> dict[str, str]:
    """Digests of what is read: the data, the base model, and the adapter to fold in, if any."""
    digests = {"data": file_digest(task.data), "base": _folder_digest(task.model)}
    if task.adapter:
        require_adapter(task.adapter)
        digests["adapter"] = _folder_digest(task.adapter)
    return digests


def _folder_digest(folder: Path) -> str:
    """From the folder's manifest or, where there is none, from its files."""
    if (folder / MANIFEST).is_file():
        return manifest_digest(folder)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return text_digest(canonical_json({path.name: file_digest(path) for path in files}))


def _inputs_digest(settings: Settings, digests: dict[str, str]) -> str:
    """Digest of all that the trained adapter depends on."""
    relevant = {key: value for key, value in asdict(settings).items() if key not in INCIDENTAL}
    return text_digest(canonical_json([relevant, digests, _packages()]))


def _packages() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}


def _counts_text(counts: dict[str, int]) -> str:
    return ", ".join(f"{value} {key}" for key, value in counts.items())


def _peak_memory() -> int:
    """Bytes: the most that tensors took on the GPU or, without one, that the process took."""
    if has_gpu():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _write_output(
    task: Task, settings: Settings, loop: Loop, digests: dict[str, str], counts: dict[str, int]
) -> None:
    """The adapter, its log and its record, in place of whatever stood there; then the work folder goes."""
    record = {
        "base": {"id": task.base, "revision": task.revision, "digest": digests["base"]},
        "folded_adapter": digests.get("adapter"),
        "data": {"file": task.data.name, "sha256": digests["data"]},
        "settings": asdict(settings),
        **run_record(task.constitution, task.configuration),
        "packages": _packages(),
        "counts": counts,
        "processes": dist.get_world_size(),
        "peak_memory_bytes": _peak_memory(),
    }
    with atomic_folder(task.output) as folder:
        _save_adapter(adapter_of(loop.policy), folder, task)
        shutil.copyfile(loop.log.path, folder / FILE)
        write_json(folder / "training.json", record)
    shutil.rmtree(task.work)


def _save_adapter(model: PeftModel, folder: Path, task: Task) -> None:
    """PEFT's two files; not save_pretrained, which asks the Hub about the base model."""
    config: Any = copy.copy(model.peft_config["default"])
    config.base_model_name_or_path = task.base
    config.revision = task.revision
    config.inference_mode = True
    # PEFT keeps names in sets, whose order differs from run to run.
    config.target_modules = sorted(config.target_modules)
    config.save_pretrained(str(folder))
    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    save_file(
        {name: tensor.contiguous().cpu() for name, tensor in tensors.items()},
        folder / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )
