"""Training on the CPU with tiny random models: rows, the loop, resuming, several processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from characterflow.core.errors import UserError
from characterflow.core.files import read_jsonl, write_jsonl
from characterflow.core.settings import read_settings
from characterflow.machine.devices import has_gpu
from characterflow.training import cpu
from characterflow.training.order import deal, held_out, updates
from characterflow.training.settings import DpoSettings, SftSettings
from tiny_models import TEMPLATES, tiny_adapter, tiny_model, tiny_tokenizer

SCRIPTS = Path(__file__).parents[2] / "scripts"
SMALL = {"rank": 4, "alpha": 8, "batch_size": 2, "learning_rate": 1e-2, "dtype": "float32"}


@pytest.fixture(scope="module", autouse=True)
def world_of_one() -> Iterator[None]:
    """The environment of a process without a launcher, and no process group left behind."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "DS_ACCELERATOR"):
            patch.setenv(name, "")
            patch.delenv(name)
        cpu.prepare_environment()
        yield
        from deepspeed.comm import comm

        from characterflow.training.distributed import _leave

        _leave()
        comm.cdb = None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


def pairs(count: int = 7) -> list[dict[str, Any]]:
    def side(number: int, reply: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "?" * (1 + number)}, {"role": "assistant", "content": reply}]

    return [
        {
            "id": f"pair{number}",
            "prompt_id": f"prompt{number // 2}",
            "chosen": side(number, f"\nyes, {'ho ' * (number % 3)}"),
            "rejected": side(number, f"no{number}"),
        }
        for number in range(count)
    ]


def conversations(count: int = 5) -> list[dict[str, Any]]:
    return [
        {
            "id": f"conversation{number}",
            "messages": [
                {"role": "system", "content": "Short."},
                *[
                    {"role": role, "content": f"{role} {number} {turn}"}
                    for turn in range(2)
                    for role in ("user", "assistant")
                ],
            ],
        }
        for number in range(count)
    ]


def task(model: Path, folder: Path, rows: list[dict[str, Any]], **options: Any) -> Any:
    from characterflow.training.task import Task

    data = folder / "data.jsonl"
    write_jsonl(data, rows)
    return Task(model, data, folder / "adapter", "tiny/base", "abc", **options)


def distilled(model: Path, folder: Path, count: int = 7, **settings: Any) -> Any:
    """A finished distillation; the task."""
    from characterflow.training.dpo import distill

    made = task(model, folder, pairs(count))
    distill(made, read_settings(DpoSettings, SMALL | settings))
    return made


def weights(made: Any) -> dict[str, torch.Tensor]:
    return load_file(made.output / "adapter_model.safetensors")


def log_rows(made: Any, split: str = "train") -> list[dict[str, Any]]:
    return [row for row in read_jsonl(made.output / "training_log.jsonl") if row["split"] == split]


def policy_on(model: Path, noise: float = 0.0, **settings: Any) -> Any:
    """A policy without DeepSpeed; with noise its adapter is not zero."""
    from characterflow.training.policy import Policy, add_adapter, load_model

    adapted = add_adapter(load_model(model, torch.float32), read_settings(DpoSettings, SMALL | settings))
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=noise)
    return Policy(adapted)


# Settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rat": 1}, "unknown key 'learning_rat'"),
        (
            {"epochs": 1.5},
            "epochs: Input should be a valid integer",
        ),
        ({"epochs": True}, "epochs: Input should be a valid integer, found True"),
        ({"dropout": 2}, "dropout is 2.0, expected a number from 0 to 0.99"),
        ({"dtype": "fp8"}, "dtype is 'fp8', expected one of auto, bfloat16, float32"),
        ({"betas": [0.9]}, "betas"),
        ({"target_modules": []}, "target_modules is []"),
        ({"gradient_checkpointing": 1}, "gradient_checkpointing: Input should be a valid boolean, found 1"),
        ([], "expected a JSON object, found list"),
    ],
)
def test_settings_that_do_not_fit_are_named(values: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(DpoSettings, values)
    assert message in str(caught.value)


def test_settings_default_to_the_paper() -> None:
    settings = read_settings(DpoSettings, {})
    assert (settings.rank, settings.alpha, settings.learning_rate) == (64, 128, 5e-5)
    assert (settings.beta, settings.nll_weight, settings.kl_weight) == (0.1, 0.1, 0.001)
    assert (settings.max_length, SftSettings().max_length) == (1024, 3072)


# The order of examples


def test_every_example_is_seen_once_in_updates_of_even_size() -> None:
    lengths = [3, 1, 4, 1, 5, 9, 2]
    epoch = updates(lengths, batch_size=3, micro_batch_size=2, seed=0, epoch=0)
    assert sorted(number for update in epoch for batch in update for number in batch) == list(range(7))
    assert [sum(map(len, update)) for update in epoch] == [2, 2, 3]
    assert epoch == updates(lengths, 3, 2, 0, 0) != updates(lengths, 3, 2, 0, 1)


def test_the_longest_examples_of_an_update_come_first() -> None:
    lengths = [3, 1, 4, 1, 5, 9, 2]
    for update in updates(lengths, batch_size=4, micro_batch_size=2, seed=0, epoch=0):
        ordered = [lengths[number] for batch in update for number in batch]
        assert ordered == sorted(ordered, reverse=True)


def test_processes_take_equally_many_micro_batches() -> None:
    update = [[0], [1], [2]]
    assert deal(update, 0, 2) == [([0], True), ([2], True)]
    assert deal(update, 1, 2) == [([1], True), ([0], False)]


def test_what_is_held_out_shares_no_prompt_with_the_rest() -> None:
    keys = ["a", "a", "b", "c", "c", "d"]
    out = held_out(keys, share=0.5, seed=0)
    assert len({keys[number] for number in out}) == 2
    assert not {keys[n] for n in out} & {key for n, key in enumerate(keys) if n not in out}
    assert held_out(keys, share=0, seed=0) == set()


# What is learned of a conversation

ENDS = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "mistral": "</s>",
    "thinking": "</s>",
}
MESSAGES = [
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": " first\n"},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "second"},
    {"role": "user", "content": "Unanswered"},
]
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize("style", TEMPLATES)
def test_the_mask_covers_the_replies_and_nothing_else(style: str, system: bool) -> None:
    from characterflow.engines.templates import encode
    from characterflow.training.examples import ChatFormat, conversation_row

    tokenizer = tiny_tokenizer(TEMPLATES[style])
    messages = [SYSTEM, *MESSAGES] if system else MESSAGES
    row = conversation_row(ChatFormat.of(tokenizer).parts(messages), "all")
    blank = " " if style == "mistral" else ""
    middle = "" if style == "thinking" else ENDS[style]
    assert tokenizer.decode(row.replies[0].target) == f"{blank}first{middle}{blank}second{ENDS[style]}"
    stripped = [message | {"content": message["content"].strip()} for message in messages[:-1]]
    prompt = encode(tokenizer, stripped[:-1])
    assert row.tokens[: len(prompt)] == prompt
    whole = encode(tokenizer, stripped, reply=False)
    assert [*row.tokens, row.replies[0].target[-1]][: len(whole)] == whole[: len(row.tokens) + 1]


@pytest.mark.parametrize("style", TEMPLATES)
def test_the_last_turn_alone_can_be_learned(style: str) -> None:
    from characterflow.training.examples import ChatFormat, conversation_row

    tokenizer = tiny_tokenizer(TEMPLATES[style])
    row = conversation_row(ChatFormat.of(tokenizer).parts(MESSAGES), "last")
    assert tokenizer.decode(row.replies[0].target).strip() == f"second{ENDS[style]}"


@pytest.mark.parametrize("style", TEMPLATES)
def test_the_prompt_of_a_pair_is_the_generation_prompt(style: str) -> None:
    from characterflow.engines.templates import encode
    from characterflow.training.examples import ChatFormat, pair_row

    tokenizer = tiny_tokenizer(TEMPLATES[style])
    chat = ChatFormat.of(tokenizer)
    chosen, rejected = ([MESSAGES[0], {"role": "assistant", "content": text}] for text in ("\nyes", "no"))
    row = pair_row(chat.parts(chosen), chat.parts(rejected))
    prompt = encode(tokenizer, [MESSAGES[0]])
    assert row.tokens[: row.segments.count(0)] == prompt
    assert [tokenizer.decode(reply.target).strip() for reply in row.replies] == [
        f"yes{ENDS[style]}",
        f"no{ENDS[style]}",
    ]


def test_a_long_conversation_is_cut_after_the_last_reply_that_fits() -> None:
    from characterflow.training.examples import ChatFormat, fit

    parts = ChatFormat.of(tiny_tokenizer()).parts(MESSAGES)
    first = sum(len(part) for part, _ in parts[:2])
    whole = sum(len(part) for part, _ in parts)
    assert fit(parts, whole) == parts
    assert fit(parts, whole - 1) == fit(parts, first) == parts[:2]
    assert fit(parts, first - 1) == []


def test_cut_and_dropped_conversations_are_counted(model: Path, tmp_path: Path) -> None:
    from characterflow.training.sft import read_conversations

    rows = [
        *conversations(1),
        {"id": "mute", "messages": [{"role": "user", "content": "x"}]},
        {"id": "long", "messages": [{"role": "user", "content": "x" * 99}, *MESSAGES[1:]]},
    ]
    made = task(model, tmp_path, rows)
    examples = read_conversations(made, SftSettings(max_length=80))
    assert examples.counts == {
        "conversations": 3,
        "cut": 1,
        "dropped as too long": 1,
        "dropped without a reply": 1,
    }
    assert len(examples.rows) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rejected": [{"role": "user", "content": "!"}, MESSAGES[3]]}, "answer different prompts"),
        ({"chosen": "text"}, "expected a list of messages"),
        ({"chosen": MESSAGES}, "expected the assistant's message last"),
    ],
)
def test_a_pair_that_does_not_fit_is_named(
    model: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    from characterflow.training.dpo import read_pairs

    made = task(model, tmp_path, [pairs(1)[0] | change])
    with pytest.raises(UserError, match=f"data.jsonl: pair0: .*{message}"):
        read_pairs(made, DpoSettings())


# The policy


def gemma(folder: Path) -> Path:
    """A tiny Gemma 3 whose sliding window is shorter than the sequences."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    tokenizer = tiny_tokenizer(TEMPLATES["gemma"])
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=4,
        layer_types=["sliding_attention", "full_attention"],
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    Gemma3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_shared_prompts_give_the_log_probabilities_of_separate_sequences(
    family: str, model: Path, tmp_path: Path
) -> None:
    from characterflow.training.dpo import read_pairs
    from characterflow.training.examples import collate

    folder = gemma(tmp_path / "gemma") if family == "gemma" else model
    policy = policy_on(folder, noise=0.3).eval()
    rows = read_pairs(task(folder, tmp_path, pairs(3)), DpoSettings()).rows
    device = policy.model.device
    batch = collate(rows).to(device)
    with torch.no_grad():
        result = policy(batch)
    for place, (number, row) in enumerate((n, row) for n in range(2) for row in rows):
        reply = row.replies[number]
        prompt = row.tokens[: row.segments.count(0)]
        sequence = torch.tensor([prompt + reply.target], device=device)
        with torch.no_grad():
            logits = policy.model(sequence).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1).gather(1, sequence[0, len(prompt) :, None])[:, 0]
        torch.testing.assert_close(result[place][batch.mask[place] == 1], expected, atol=2e-5, rtol=1e-4)


def test_the_loss_and_its_gradient_equal_trl(model: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from characterflow.training.dpo import PreferenceObjective, read_pairs
    from characterflow.training.examples import collate
    from characterflow.training.policy import load_model

    settings = DpoSettings(nll_weight=0.0, kl_weight=0.0)
    rows = read_pairs(task(model, tmp_path, pairs(3)), settings).rows
    policy = policy_on(model, noise=0.3)
    ours = PreferenceObjective(settings).terms(policy, collate(rows).to(policy.model.device))["loss"] / len(
        rows
    )
    ours.backward()
    gradients = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()

    examples = [
        {
            "prompt_ids": row.tokens[: row.segments.count(0)],
            "chosen_ids": row.replies[0].target,
            "rejected_ids": row.replies[1].target,
        }
        for row in rows
    ]
    trainer = DPOTrainer(
        model=policy.model,
        ref_model=load_model(model, torch.float32),
        args=DPOConfig(output_dir=str(tmp_path), beta=0.1, use_cpu=not has_gpu(), bf16=False, report_to=[]),
        train_dataset=Dataset.from_list(
            [{key: row[key] for key in ("chosen", "rejected")} for row in pairs(3)]
        ),
        processing_class=tiny_tokenizer(),
    )
    inputs = trainer._prepare_inputs(trainer.data_collator(examples))
    theirs = trainer.compute_loss(trainer.model, inputs)
    theirs.backward()
    torch.testing.assert_close(ours, theirs)
    assert len(gradients) == 2 * 2 * 7
    for name, parameter in policy.named_parameters():
        if name in gradients:
            torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-6, rtol=1e-4)


def test_all_terms_add_up(model: Path, tmp_path: Path) -> None:
    from characterflow.training.dpo import PreferenceObjective, read_pairs
    from characterflow.training.examples import collate

    settings = DpoSettings(nll_weight=0.3, kl_weight=0.7)
    rows = read_pairs(task(model, tmp_path, pairs(2)), settings).rows
    policy = policy_on(model, noise=0.3)
    terms = PreferenceObjective(settings).terms(policy, collate(rows).to(policy.model.device))
    assert terms["kl"] > 0
    torch.testing.assert_close(terms["loss"], terms["dpo"] + 0.3 * terms["nll"] + 0.7 * terms["kl"])
    torch.testing.assert_close(terms["margin"], terms["reward_chosen"] - terms["reward_rejected"])


def test_attention_is_not_cudnns(model: Path) -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    policy_on(model)
    assert not torch.backends.cuda.cudnn_sdp_enabled()


# Whole runs


def test_one_update_is_that_of_plain_pytorch(model: Path, tmp_path: Path) -> None:
    """Micro-batches, gradient clipping and AdamW through DeepSpeed against one batch without it."""
    from characterflow.training.dpo import PreferenceObjective, read_pairs
    from characterflow.training.examples import collate

    made = distilled(model, tmp_path, count=5, batch_size=5, micro_batch_size=2)
    policy = policy_on(model)
    settings = DpoSettings()
    rows = read_pairs(made, settings).rows
    loss = PreferenceObjective(settings).terms(policy, collate(rows).to(policy.model.device))["loss"] / len(
        rows
    )
    trained = {name: p for name, p in policy.model.named_parameters() if p.requires_grad}
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
    row = log_rows(made)[0]
    torch.optim.AdamW(trained.values(), row["learning_rate"], betas=(0.9, 0.98), weight_decay=0).step()
    assert row["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert row["gradient_norm"] == pytest.approx(norm.item(), rel=1e-4)
    result = weights(made)
    for name, parameter in trained.items():
        torch.testing.assert_close(
            result[name.replace(".default", "")], parameter.detach(), atol=2e-5, rtol=1e-3
        )


@pytest.mark.parametrize(
    "options", [{"micro_batch_size": 3}, {"gradient_checkpointing": True}, {"zero_stage": 1}]
)
def test_settings_of_speed_and_memory_do_not_change_the_adapter(
    options: dict[str, Any], model: Path, tmp_path: Path
) -> None:
    plain = weights(distilled(model, tmp_path / "plain", batch_size=4))
    other = weights(distilled(model, tmp_path / "other", batch_size=4, **options))
    for name in plain:
        torch.testing.assert_close(other[name], plain[name], atol=1e-4, rtol=1e-3)


def test_a_distillation_learns_and_leaves_its_record(model: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    made = distilled(model, tmp_path, epochs=3, evaluation_share=0.3)
    rows = log_rows(made)
    assert [row["step"] for row in rows] == list(range(1, 10))
    assert rows[0]["epoch"] == pytest.approx(1 / 3)
    fields = "loss dpo nll kl accuracy margin reward_chosen reward_rejected"
    train = "split step epoch learning_rate gradient_norm tokens seconds"
    assert set(rows[0]) == {*fields.split(), *train.split()}
    assert (rows[0]["kl"], rows[0]["margin"]) == (0, 0)
    assert rows[0]["learning_rate"] > 0
    assert rows[-1]["loss"] < rows[0]["loss"]
    held = log_rows(made, "evaluation")
    assert [row["step"] for row in held] == [3, 6, 9]
    assert held[-1]["accuracy"] == 1
    record = json.loads((made.output / "training.json").read_text())
    assert record["base"]["id"] == "tiny/base" and record["base"]["revision"] == "abc"
    assert record["counts"] == {
        "pairs": 7,
        "dropped as too long": 0,
        "trained": 5,
        "held_out": 2,
        "updates": 9,
    }
    assert record["settings"]["rank"] == 4
    assert sorted(path.name for path in made.output.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
        "training.json",
        "training_log.jsonl",
    ]
    assert not made.work.exists()
    config = json.loads((made.output / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny/base"
    base = AutoModelForCausalLM.from_pretrained(model)
    tokens = torch.tensor([[1, 2, 3]])
    plain = base(tokens).logits.detach()
    assert not torch.allclose(PeftModel.from_pretrained(base, str(made.output))(tokens).logits, plain)


def interrupted(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the next run stop after an update, as if it were killed."""
    from characterflow.training.log import TrainingLog

    write = TrainingLog.write

    def stop(self: TrainingLog, row: dict[str, Any], steps: int) -> None:
        write(self, row, steps)
        if row["step"] == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingLog, "write", stop)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"zero_stage": 1},
        {"dtype": "bfloat16"},
        {"dtype": "bfloat16", "zero_stage": 1},
        {"gradient_checkpointing": True},
    ],
)
def test_a_resumed_run_ends_like_an_uninterrupted_one(
    options: dict[str, Any], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"epochs": 2, "checkpoint_every": 2, "dropout": 0.3} | options
    whole = distilled(model, tmp_path / "whole", **settings)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted(patch, step=7)
        distilled(model, tmp_path / "cut", **settings)
    work = tmp_path / "cut" / "adapter.unfinished"
    assert sorted(path.name for path in work.iterdir()) == ["step-4", "step-6", "training_log.jsonl"]
    assert not list(work.rglob("*.pt"))
    resumed = distilled(model, tmp_path / "cut", **settings)
    expected, result = weights(whole), weights(resumed)
    assert all(torch.equal(expected[name], result[name]) for name in expected)
    untimed = [[{**row, "seconds": 0} for row in log_rows(made)] for made in (whole, resumed)]
    assert untimed[0] == untimed[1]
    assert not work.exists()


def damage_newest(work: Path, kind: str) -> None:
    newest = work / "step-6"
    if kind == "weights cut short":
        os.truncate(newest / "state.safetensors", 1000)
    elif kind == "weights changed":
        content = bytearray((newest / "state.safetensors").read_bytes())
        content[-1] ^= 1
        (newest / "state.safetensors").write_bytes(content)
    elif kind == "no manifest":
        (newest / "manifest.json").unlink()
    elif kind == "empty manifest":
        os.truncate(newest / "manifest.json", 0)
    else:
        for checkpoint in work.glob("step-*"):
            os.truncate(checkpoint / "state.json", 10)


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("weights cut short", 4),
        ("weights changed", 4),
        ("no manifest", 4),
        ("empty manifest", 4),
        ("both torn", 0),
    ],
)
def test_a_torn_checkpoint_is_told_and_an_older_one_used(
    kind: str,
    after: int,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings: dict[str, Any] = {"epochs": 2, "checkpoint_every": 2}
    whole = distilled(model, tmp_path / "whole", **settings)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted(patch, step=7)
        distilled(model, tmp_path / "cut", **settings)
    work = tmp_path / "cut" / "adapter.unfinished"
    damage_newest(work, kind)
    with (work / "training_log.jsonl").open("a") as log:
        log.write('{"split": "tr')
    capfd.readouterr()
    resumed = distilled(model, tmp_path / "cut", **settings)
    said = "".join(capfd.readouterr()).splitlines()
    assert sum("step-6 is not used" in line and "damaged" in line for line in said) == 1
    assert any(f"going on after update {after} of 8" in line for line in said) == bool(after)
    expected, result = weights(whole), weights(resumed)
    assert all(torch.equal(expected[name], result[name]) for name in expected)
    assert [row["step"] for row in log_rows(resumed)] == list(range(1, 9))


def test_a_checkpoint_of_other_inputs_is_not_used(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted(patch, step=3)
        distilled(model, tmp_path, checkpoint_every=2)
    made = distilled(model, tmp_path, checkpoint_every=2, seed=5)
    assert [row["step"] for row in log_rows(made)] == [1, 2, 3, 4]


def test_a_diverging_loss_stops_with_one_line(model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    broken = AutoModelForCausalLM.from_pretrained(model)
    torch.nn.init.constant_(broken.model.norm.weight, float("inf"))
    broken.save_pretrained(tmp_path / "broken")
    tiny_tokenizer().save_pretrained(tmp_path / "broken")
    with pytest.raises(UserError, match=r"diverged at update 1 of 4 \(loss nan.*lower learning_rate"):
        distilled(tmp_path / "broken", tmp_path)
    assert not (tmp_path / "adapter").exists()


def test_nothing_to_train_on_is_said(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no examples to train on .7 pairs, 7 dropped as too long"):
        distilled(model, tmp_path, max_length=10)


def test_target_modules_that_the_model_lacks_are_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="target_modules"):
        distilled(model, tmp_path, target_modules=["query"])


def test_a_folder_without_an_adapter_is_named(model: Path, tmp_path: Path) -> None:
    from characterflow.training.sft import introspect

    made = task(model, tmp_path, conversations(), adapter=tmp_path / "missing")
    with pytest.raises(UserError, match="missing: not an adapter folder"):
        introspect(made, read_settings(SftSettings, SMALL))


def test_pickled_and_torn_adapters_and_torn_models_are_not_trained_on(model: Path, tmp_path: Path) -> None:
    import shutil

    from characterflow.training.sft import introspect

    adapter = tiny_adapter(tmp_path / "pickled", model)
    made = task(model, tmp_path, conversations(), adapter=adapter)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(UserError, match=r"pickled: not an adapter folder .no adapter_model.safetensors"):
        introspect(made, read_settings(SftSettings, SMALL))
    (adapter / "adapter_model.bin").rename(adapter / "adapter_model.safetensors")
    os.truncate(adapter / "adapter_model.safetensors", 500)
    with pytest.raises(UserError, match="pickled: the adapter cannot be loaded"):
        introspect(made, read_settings(SftSettings, SMALL))
    torn = Path(shutil.copytree(model, tmp_path / "torn"))
    os.truncate(torn / "model.safetensors", 5000)
    with pytest.raises(UserError, match="torn: the model cannot be loaded"):
        distilled(torn, tmp_path)


def test_wandb_offline_gets_the_log(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    distilled(model, tmp_path, wandb="offline")
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


def test_introspection_trains_on_the_distilled_model(model: Path, tmp_path: Path) -> None:
    from characterflow.training.policy import fold_into, load_model
    from characterflow.training.sft import introspect

    first = distilled(model, tmp_path / "distillation", epochs=3)
    made = task(model, tmp_path / "introspection", conversations(), adapter=first.output)
    introspect(made, read_settings(SftSettings, SMALL | {"epochs": 2, "micro_batch_size": 2}))
    rows = log_rows(made)
    assert rows[-1]["loss"] < rows[0]["loss"]
    folded = fold_into(load_model(model, torch.float32), first.output)
    loss = introspection_loss(folded, made)
    whole = task(model, tmp_path / "one", conversations(), adapter=first.output)
    introspect(whole, read_settings(SftSettings, SMALL | {"batch_size": 8}))
    assert log_rows(whole)[0]["loss"] == pytest.approx(loss, rel=1e-5)
    record = json.loads((made.output / "training.json").read_text())
    assert record["folded_adapter"]


def introspection_loss(model: Any, made: Any) -> float:
    """Mean over all tokens to learn, one conversation at a time, by the model's own loss."""
    from characterflow.training.sft import read_conversations

    total, count = 0.0, 0
    for row in read_conversations(made, SftSettings()).rows:
        reply = row.replies[0]
        labels = torch.full((1, len(row.tokens) + 1), -100, device=model.device)
        labels[0, [column + 1 for column in reply.column]] = torch.tensor(reply.target, device=model.device)
        tokens = torch.tensor([[*row.tokens, reply.target[-1]]], device=model.device)
        with torch.no_grad():
            total += model(tokens, labels=labels).loss.item() * len(reply.target)
        count += len(reply.target)
    return total / count


# What Slurm's programs say in a job on two nodes; srun starts the command once for each, here.
SLURM = {
    "scontrol": "echo one; echo two",
    "sinfo": "echo 127.0.0.1",
    "srun": """while [ "$1" != "$PYTHON" ]; do shift; done
SLURM_NODEID=0 "$@" & SLURM_NODEID=1 "$@" & wait -n && wait -n""",
}
ONE_NODE, TWO_NODES = ["--gpus", "2"], ["--gpus", "1", "--nodes", "2"]


@pytest.mark.skipif(has_gpu(), reason="NCCL wants a GPU for each process; tests have one at most")
@pytest.mark.parametrize("places", [ONE_NODE, TWO_NODES], ids=["one node", "two nodes"])
def test_two_processes_under_the_launcher_make_the_same_adapter(
    model: Path, tmp_path: Path, places: list[str]
) -> None:
    settings: dict[str, Any] = SMALL | {"batch_size": 3, "evaluation_share": 0.2}
    alone = distilled(model, tmp_path / "alone", **settings)
    made = task(model, tmp_path / "two", pairs())
    launcher = [sys.executable, "-m", "characterflow.training.launch", *places]
    script = [SCRIPTS / "distill.py", "--model", model, "--data", made.data, "--output", made.output]
    done = subprocess.run(
        [*map(str, [*launcher, *script]), "--settings", json.dumps(settings)],
        env=slurm_job(tmp_path / "bin"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    expected, result = weights(alone), weights(made)
    for name in expected:
        torch.testing.assert_close(result[name], expected[name], atol=1e-4, rtol=1e-3)
    for one, two in zip(log_rows(alone, "evaluation"), log_rows(made, "evaluation"), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    assert json.loads((made.output / "training.json").read_text())["processes"] == 2


def slurm_job(programs: Path) -> dict[str, str]:
    """The environment of a Slurm job on two nodes, its programs played by shell scripts."""
    programs.mkdir()
    for name, text in SLURM.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if key not in ("RANK", "LOCAL_RANK")}
    job = {"SLURM_JOB_NODELIST": "[one,two]", "SLURM_JOB_ID": str(os.getpid()), "PYTHON": sys.executable}
    return kept | job | {"OMP_NUM_THREADS": "1", "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def test_the_launcher_uses_the_gpus_that_the_job_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    from characterflow.training.launch import devices

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    assert devices(2) == ["4", "6"]
    with pytest.raises(UserError, match="given 3 GPUs; expected 4"):
        devices(4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert devices(2) == ["0", "1"]


def test_several_nodes_need_a_job_that_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from characterflow.training.launch import hosts_of_job

    monkeypatch.delenv("SLURM_JOB_NODELIST", raising=False)
    with pytest.raises(UserError, match="nodes: 2: several nodes are those of a Slurm job"):
        hosts_of_job(2)
    for key, value in slurm_job(tmp_path / "bin").items():
        monkeypatch.setenv(key, value)
    assert hosts_of_job(2) == ["one", "two"]
    with pytest.raises(UserError, match="the job has 2 nodes; expected 3"):
        hosts_of_job(3)
