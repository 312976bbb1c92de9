"""Training against its baselines, in one run on one machine: tokens per second and peak memory.

DPO: characterflow's, whose reference is the policy with its adapter off, against OpenRLHF's train_dpo,
which holds a second model for that, and TRL's DPOTrainer with a peft_config. SFT: against OpenRLHF's
train_sft and TRL's SFTTrainer.

    python benchmarks/training.py --model results/models/smollm2 [--data preferences.jsonl]
    python benchmarks/training.py --random-model 8b --dtype bfloat16 --pairs 64 --tasks dpo sft

The same for all sides: model, examples of every update, adapter (LoRA on all linear layers), AdamW,
dtype, batch and micro-batch size, PyTorch's own attention, no gradient checkpointing but where it is
asked for. The DPO loss has the NLL term on every side; only characterflow's has the KL term too.
Tokens: those of the conversations, a pair's prompt counted with each reply, padding not, as characterflow
tokenises them. Time: from the end of the last warm-up to the end of the last update. Memory:
the greatest resident set of the process or, on a GPU, the most that tensors took.

Each side runs in a process of its own. Only characterflow's tunes malloc; to tune it for all, set
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_TOP_PAD_=67108864. The last line is the
result as JSON.

OpenRLHF's command lines run as they are but for what `openrlhf_strategy` says. They load the model with
trust_remote_code, whatever this project's setting.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any

from random_model import SHAPES, random_model

TASKS = ("dpo", "sft")
SIDES = ("characterflow", "openrlhf", "trl")
PACKAGES = ("torch", "transformers", "peft", "deepspeed", "openrlhf", "trl")
LEARNING_RATE, BETA, NLL_WEIGHT = 5e-5, 0.1, 0.1
# Nothing is cut or dropped.
MAX_LENGTH = 1 << 20

WORDS = ("the", "river", "keeps", "its", "own", "counsel", "while", "every", "stone", "remembers", "songs")


# What is trained


def words(tokenizer: Any, mean: int, draw: random.Random) -> str:
    """A text of half to one and a half times the mean number of tokens, or about that."""
    length = draw.randint(max(1, mean // 2), mean + mean // 2)
    tokens = tokenizer.encode(" ".join(draw.choices(WORDS, k=length)), add_special_tokens=False)
    return tokenizer.decode(tokens[:length]).strip()


def synthetic_pairs(arguments: argparse.Namespace, tokenizer: Any) -> list[dict[str, Any]]:
    """Preference pairs that say nothing."""
    draw = random.Random(0)
    pairs = []
    for _ in range(arguments.pairs):
        prompt = {"role": "user", "content": words(tokenizer, arguments.prompt_tokens, draw)}
        replies = [words(tokenizer, arguments.reply_tokens, draw) for _ in range(2)]
        sides = [[prompt, {"role": "assistant", "content": reply}] for reply in replies]
        pairs.append({"chosen": sides[0], "rejected": sides[1]})
    return pairs


def prepare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make the model and the files of examples; tokens of every update, by task.

    TASK.jsonl is what characterflow reads and puts into its own order; TASK-ordered.jsonl has the same
    examples in every update, in no order within it, and is read as it stands.
    """
    import torch
    from transformers import AutoTokenizer

    from characterflow.core.files import read_jsonl, write_jsonl
    from characterflow.training.cpu import prepare_environment

    prepare_environment()
    model = arguments.model
    if arguments.random_model:
        model = random_model(arguments.random_model, arguments.dtype, arguments.work / "model")
    if arguments.data:
        pairs = read_jsonl(arguments.data, required=("chosen", "rejected"))[: arguments.pairs]
    else:
        pairs = synthetic_pairs(arguments, AutoTokenizer.from_pretrained(model))
    rows = [
        {"id": str(i), "prompt_id": str(i)}
        | {key: pairs[i % len(pairs)][key] for key in ("chosen", "rejected")}
        for i in range(example_count(arguments))
    ]
    write_jsonl(arguments.work / "dpo.jsonl", rows)
    write_jsonl(arguments.work / "sft.jsonl", [{"id": row["id"], "messages": row["chosen"]} for row in rows])
    gpu = torch.cuda.is_available()
    return {
        "model": str(model),
        "device": torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads",
        "tokens": {task: ordered(arguments, task, model) for task in arguments.tasks},
    }


def example_count(arguments: argparse.Namespace) -> int:
    """Examples of all updates, warm-ups and timed ones."""
    return (arguments.warm_ups + arguments.updates) * arguments.batch_size


def ordered(arguments: argparse.Namespace, task: str, model: Path) -> list[int]:
    """Write a task's examples as characterflow orders them into updates; tokens of each update."""
    from characterflow.core.files import read_jsonl, write_jsonl
    from characterflow.training.order import updates

    examples = read_examples(arguments, task, model)
    lengths = [len(row.tokens) for row in examples]
    records = read_jsonl(arguments.work / f"{task}.jsonl")
    draw, result, tokens = random.Random(0), [], []
    for update in updates(lengths, arguments.batch_size, arguments.micro_batch_size, seed=0, epoch=0):
        numbers = [number for batch in update for number in batch]
        draw.shuffle(numbers)
        result += [records[number] for number in numbers]
        tokens.append(sum(examples[number].length for number in numbers))
    write_jsonl(arguments.work / f"{task}-ordered.jsonl", result)
    return tokens


def read_examples(arguments: argparse.Namespace, task: str, model: Path) -> list[Any]:
    """A task's examples as characterflow tokenises them."""
    from characterflow.training.dpo import read_pairs
    from characterflow.training.sft import read_conversations

    read = read_pairs if task == "dpo" else read_conversations
    examples = read(characterflow_task(arguments, task, model), settings(arguments, task))
    assert len(examples.rows) == example_count(arguments), examples.counts
    return examples.rows


# The sides


class Clock:
    """Notes when an update ends, and the memory taken until then."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.peak_memory = 0

    def tick(self) -> None:
        """An update ends."""
        import torch

        gpu = torch.cuda.is_available()
        if gpu:
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.peak_memory = torch.cuda.max_memory_allocated() if gpu else resident

    def ticks_after(self, owner: type, method: str) -> None:
        """Tick whenever a method of a class, called once an update, returns."""
        original: Callable[..., Any] = getattr(owner, method)

        @wraps(original)
        def timed(*values: Any, **options: Any) -> Any:
            result = original(*values, **options)
            self.tick()
            return result

        setattr(owner, method, timed)


def settings(arguments: argparse.Namespace, task: str) -> Any:
    """characterflow's settings; what is not named here is the paper's."""
    from characterflow.training.settings import DpoSettings, SftSettings

    kind = DpoSettings if task == "dpo" else SftSettings
    return kind(
        rank=arguments.rank,
        alpha=2 * arguments.rank,
        learning_rate=LEARNING_RATE,
        batch_size=arguments.batch_size,
        micro_batch_size=arguments.micro_batch_size,
        max_length=MAX_LENGTH,
        dtype=arguments.dtype,
        gradient_checkpointing=arguments.gradient_checkpointing,
    )


def characterflow_task(arguments: argparse.Namespace, task: str, model: Path) -> Any:
    """What characterflow reads and writes for a task."""
    from characterflow.training.task import Task

    work = arguments.work
    return Task(model=model, data=work / f"{task}.jsonl", output=work / f"{task}-adapter", base="benchmark")


def characterflow_side(arguments: argparse.Namespace, model: Path, clock: Clock) -> None:
    """The pipeline's own training."""
    from characterflow.training.cpu import prepare_environment

    prepare_environment()
    from characterflow.training.dpo import distill
    from characterflow.training.log import TrainingLog
    from characterflow.training.sft import introspect

    clock.ticks_after(TrainingLog, "write")
    train = distill if arguments.task == "dpo" else introspect
    train(characterflow_task(arguments, arguments.task, model), settings(arguments, arguments.task))


def openrlhf_side(arguments: argparse.Namespace, model: Path, clock: Clock) -> None:
    """OpenRLHF's train_dpo or train_sft, run as a command line; `openrlhf_strategy` says what differs."""
    import runpy

    from characterflow.training import cpu

    cpu._keep_freed_memory = lambda: None
    cpu.prepare_environment()
    from characterflow.training.policy import dtype_of  # imports openrlhf, with flash-attn's stand-ins

    strategy = openrlhf_strategy(arguments.dtype)
    import openrlhf.utils.deepspeed
    import openrlhf.utils.utils

    openrlhf.utils.deepspeed.DeepspeedStrategy = strategy
    openrlhf.utils.utils.convert_to_torch_dtype = lambda name: dtype_of(arguments.dtype)
    from openrlhf.trainer.dpo_trainer import DPOTrainer
    from openrlhf.trainer.sft_trainer import SFTTrainer

    trainer = DPOTrainer if arguments.task == "dpo" else SFTTrainer
    clock.ticks_after(trainer, "save_logs_and_checkpoints")
    program = f"openrlhf.cli.train_{arguments.task}"
    sys.argv = [program, *openrlhf_options(arguments, model)]
    runpy.run_module(program, run_name="__main__")


def openrlhf_strategy(dtype: str) -> type:
    """OpenRLHF's strategy, changed as little as a comparison allows.

    Everywhere: the examples keep their order, AdamW is PyTorch's (DeepSpeed's own is compiled on first
    use), and nothing is saved at the end. For float32, which --ds.param_dtype does not offer: the name is
    put in past it. Without a GPU: flash-attn's stand-ins, gloo, no pinned memory, and no averaging of
    figures for the log over processes, which goes through CUDA.
    """
    from characterflow.machine.devices import has_gpu
    from characterflow.training.distributed import DeepspeedStrategy, Strategy

    class UpstreamStrategy(Strategy):
        """setup_distributed is characterflow's, the rest OpenRLHF's."""

        def __init__(self, args: Any, **options: Any) -> None:
            args.ds.param_dtype = {"bfloat16": "bf16"}.get(dtype, dtype)
            DeepspeedStrategy.__init__(self, args=args, **options)

        def setup_distributed(self, *values: Any, **options: Any) -> None:
            super().setup_distributed(*values, **options)
            self.accumulated_gradient = self.train_batch_size // self.micro_train_batch_size

        def get_ds_train_config(self, *values: Any, **options: Any) -> dict[str, Any]:
            config = DeepspeedStrategy.get_ds_train_config(self, *values, **options)
            if "optimizer" in config:
                config["optimizer"]["params"]["torch_adam"] = True
            return config

        def setup_dataloader(
            self, data: Any, batch_size: int, pin_memory: bool, shuffle: bool, *rest: Any, **options: Any
        ) -> Any:
            return super().setup_dataloader(data, batch_size, has_gpu(), False, *rest, **options)

        def all_reduce(self, data: Any, op: str = "mean") -> Any:
            return super().all_reduce(data, op) if has_gpu() else data

        def save_model(self, *values: Any, **options: Any) -> None:
            pass

    return UpstreamStrategy


def openrlhf_options(arguments: argparse.Namespace, model: Path) -> list[str]:
    """The command line, without the program's name."""
    options = {
        "model.model_name_or_path": model,
        "data.dataset": arguments.work / f"{arguments.task}-ordered.jsonl",
        "data.max_len": MAX_LENGTH,
        "train.batch_size": arguments.batch_size,
        "train.micro_batch_size": arguments.micro_batch_size,
        "train.max_epochs": 1,
        "ds.attn_implementation": "sdpa",
        "ds.lora.rank": arguments.rank,
        "ds.lora.alpha": 2 * arguments.rank,
        "adam.lr": LEARNING_RATE,
        "ckpt.output_dir": arguments.work / "openrlhf",
    }
    flags = ["data.apply_chat_template"]
    if arguments.task == "dpo":
        options |= {"ref.model_name_or_path": model, "model.beta": BETA, "model.nll_loss_coef": NLL_WEIGHT}
    else:
        options |= {"data.input_key": "messages"}
        flags += ["data.multiturn"]
    if arguments.gradient_checkpointing:
        flags += ["model.gradient_checkpointing_enable"]
    return [f"--{name}={value}" for name, value in options.items()] + [f"--{flag}" for flag in flags]


def trl_side(arguments: argparse.Namespace, model: Path, clock: Clock) -> None:
    """TRL's trainer of the task; its defaults are kept where `trl_options` says nothing."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    from characterflow.core.files import read_jsonl

    class Ticks(TrainerCallback):
        def on_step_end(self, *values: Any, **options: Any) -> None:
            clock.tick()

    rows = read_jsonl(arguments.work / f"{arguments.task}-ordered.jsonl")
    options = trl_options(arguments)
    if arguments.task == "dpo":
        kind, config = (
            DPOTrainer,
            DPOConfig(loss_type=["sigmoid", "sft"], loss_weights=[1, NLL_WEIGHT], **options),
        )
        examples = [{key: row[key] for key in ("chosen", "rejected")} for row in rows]
    else:
        kind, config = SFTTrainer, SFTConfig(**options)
        examples = [{"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in rows]
    kind(
        str(model),
        args=config,
        train_dataset=Dataset.from_list(examples),
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=arguments.rank,
            lora_alpha=2 * arguments.rank,
            lora_dropout=0.0,
            target_modules="all-linear",
        ),
        callbacks=[Ticks()],
    ).train()


def trl_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What both of TRL's configurations share; beta is 0.1 by default, as elsewhere here."""
    import torch

    return {
        "output_dir": str(arguments.work / "trl"),
        "model_init_kwargs": {"dtype": arguments.dtype, "attn_implementation": "sdpa"},
        "per_device_train_batch_size": arguments.micro_batch_size,
        "gradient_accumulation_steps": arguments.batch_size // arguments.micro_batch_size,
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "learning_rate": LEARNING_RATE,
        "max_length": None,
        "bf16": arguments.dtype == "bfloat16",
        "gradient_checkpointing": arguments.gradient_checkpointing,
        "use_cpu": not torch.cuda.is_available(),
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }


def run_side(arguments: argparse.Namespace) -> dict[str, Any]:
    """One side's figures for one task."""
    prepared = json.loads((arguments.work / "prepared.json").read_text())
    clock = Clock()
    run = {"characterflow": characterflow_side, "openrlhf": openrlhf_side, "trl": trl_side}[arguments.side]
    run(arguments, Path(prepared["model"]), clock)
    tokens = prepared["tokens"][arguments.task]
    assert len(clock.ends) == len(tokens), f"{len(clock.ends)} updates, not {len(tokens)}"
    seconds = clock.ends[-1] - clock.ends[arguments.warm_ups - 1]
    return {
        "tokens_per_second": sum(tokens[arguments.warm_ups :]) / seconds,
        "peak_memory_bytes": clock.peak_memory,
        "seconds": seconds,
    }


# The comparison


def in_a_process_of_its_own(arguments: argparse.Namespace, side: str, task: str = "dpo") -> Any:
    """What a side, or the preparation, leaves in its file; None where it fails, its last words printed."""
    result, log = (arguments.work / f"{task}-{side}.{kind}" for kind in ("json", "log"))
    if side == "prepare":
        result = arguments.work / "prepared.json"
    command = [sys.executable, *sys.argv, "--side", side, "--task", task, "--work", str(arguments.work)]
    environment = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(arguments.work / "datasets"),
        "TOKENIZERS_PARALLELISM": "false",
        "TMPDIR": str(arguments.work),
    }
    with log.open("wb") as output:
        subprocess.run(
            [*command, "--result", str(result)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
        )
    if result.exists():
        return json.loads(result.read_text())
    print(f"{task}, {side}: failed\n{log.read_text(errors='replace')[-4000:]}", file=sys.stderr)
    return None


def compare(arguments: argparse.Namespace, task: str) -> dict[str, Any]:
    """All sides of a task, with the ratios of characterflow's figures to the others'."""
    results = {side: in_a_process_of_its_own(arguments, side, task) for side in arguments.sides}
    ours = results.get("characterflow")
    for side in SIDES[1:]:
        if ours and results.get(side):
            for key in ("tokens_per_second", "peak_memory_bytes"):
                results[side][f"{key}_ratio"] = ours[key] / results[side][key]
    return results


def table(results: dict[str, Any]) -> list[str]:
    """A task's results as lines."""
    lines = [f"{'':15}{'tokens/s':>10}{'ratio':>8}{'memory':>12}{'ratio':>8}"]
    for side, result in results.items():
        if result is None:
            lines.append(f"{side:15}{'failed':>10}")
            continue
        speed, memory = (
            f"{result[key]:.2f}" if key in result else ""
            for key in ("tokens_per_second_ratio", "peak_memory_bytes_ratio")
        )
        gibibytes = result["peak_memory_bytes"] / 2**30
        lines.append(
            f"{side:15}{result['tokens_per_second']:>10.1f}{speed:>8}{gibibytes:>8.2f} GiB{memory:>8}"
        )
    return lines


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    models = parser.add_mutually_exclusive_group(required=True)
    models.add_argument("--model", type=Path, help="folder of a model")
    models.add_argument("--random-model", choices=SHAPES, help="make a Llama of this size")
    parser.add_argument("--data", type=Path, help="preferences.jsonl; without it, synthetic pairs")
    parser.add_argument("--pairs", type=int, default=16, help="repeated where the updates need more")
    parser.add_argument("--updates", type=int, default=3, help="updates timed")
    parser.add_argument("--warm-ups", type=int, default=1, help="updates before them, at least one")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--micro-batch-size", type=int, default=1)
    parser.add_argument("--rank", type=int, default=64, help="of the adapter; alpha is twice that")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--prompt-tokens", type=int, default=40, help="mean, of synthetic pairs")
    parser.add_argument("--reply-tokens", type=int, default=60, help="mean, of synthetic pairs")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=["dpo"])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--side", choices=("prepare", *SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.batch_size % arguments.micro_batch_size:
        parser.error("--batch-size is not a multiple of --micro-batch-size")
    if arguments.warm_ups < 1:
        parser.error("--warm-ups is below 1: the time runs from the end of the last one")
    return arguments


def main() -> None:
    arguments = parse()
    if arguments.side:
        result = prepare(arguments) if arguments.side == "prepare" else run_side(arguments)
        arguments.result.write_text(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as work:
        arguments.work = Path(work)
        prepared = in_a_process_of_its_own(arguments, "prepare")
        if prepared is None:
            sys.exit(1)
        results = {}
        for task in arguments.tasks:
            results[task] = compare(arguments, task)
            tokens = sum(prepared["tokens"][task][arguments.warm_ups :])
            print(f"{task}: {tokens} tokens in {arguments.updates} updates; ratios: characterflow / baseline")
            print(*table(results[task]), sep="\n")
    about = {key: str(value) for key, value in vars(arguments).items() if value is not None and key != "work"}
    packages = {name: version(name) for name in PACKAGES}
    print(json.dumps({"device": prepared["device"], "arguments": about, "packages": packages, **results}))
    if not all(result for sides in results.values() for result in sides.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
