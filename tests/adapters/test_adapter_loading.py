"""An adapter made here is an adapter anywhere: PEFT, transformers and vLLM load it as it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from characterflow.adapters import arithmetic, folding
from characterflow.adapters import files as adapters
from tiny_models import tiny_adapter, tiny_model

PROMPT = "Tell me about the sea."
TOKENS = 8

VLLM = """
import json, sys
from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest
model, adapter, rank, prompt, tokens = sys.argv[1:]
engine = LLM(model, dtype="float32", enforce_eager=True, max_model_len=256, enable_lora=True,
             max_lora_rank=int(rank), max_loras=1)
sampling = SamplingParams(temperature=0.0, max_tokens=int(tokens), ignore_eos=True)
request = LoRARequest("persona", 1, adapter)
replies = [engine.generate([prompt], sampling, lora_request=each) for each in (None, request)]
print(json.dumps([list(reply[0].outputs[0].token_ids) for reply in replies]))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base, a merged persona adapter, and the base with that adapter folded in."""
    root = tmp_path_factory.mktemp("loading")
    base = tiny_model(root / "base", heads=1)
    parts = [adapters.load(tiny_adapter(root / f"part-{seed}", base, seed=seed)) for seed in (1, 2)]
    config, factors, _ = arithmetic.merge(parts, [1.0, 0.25], "exact")
    adapters.save(root / "persona", config, factors)
    folding.fold(base, [adapters.load(root / "persona")], root / "folded")
    return {name: root / name for name in ("base", "persona", "folded")}


def reply(model: torch.nn.Module, folder: Path) -> list[int]:
    """Greedy tokens after the prompt."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(PROMPT, return_tensors="pt")
    with torch.no_grad():
        made = model.generate(  # type: ignore[operator]
            **inputs, do_sample=False, max_new_tokens=TOKENS, min_new_tokens=TOKENS, eos_token_id=None
        )
    return made[0, inputs["input_ids"].shape[1] :].tolist()


def load(folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def expected(folders: dict[str, Path]) -> list[int]:
    """What the folded model says, which is not what the base says."""
    folded = reply(load(folders["folded"]), folders["base"])
    assert folded != reply(load(folders["base"]), folders["base"])
    return folded


def test_the_rank_is_the_one_it_states(folders: dict[str, Path]) -> None:
    config = json.loads((folders["persona"] / "adapter_config.json").read_text())
    assert config["r"] == 4 + 4
    assert {factor[0].shape[0] for factor in adapters.load(folders["persona"]).factors.values()} == {8}


def test_peft_loads_it(folders: dict[str, Path], expected: list[int]) -> None:
    model = PeftModel.from_pretrained(load(folders["base"]), str(folders["persona"]))
    assert reply(model, folders["base"]) == expected


def test_transformers_loads_it(folders: dict[str, Path], expected: list[int]) -> None:
    model = load(folders["base"])
    model.load_adapter(str(folders["persona"]))  # type: ignore[operator]
    assert reply(model, folders["base"]) == expected


@pytest.mark.timeout(300)
def test_vllm_serves_it_as_a_lora(folders: dict[str, Path], expected: list[int]) -> None:
    options = [str(folders["base"]), str(folders["persona"]), "8", PROMPT, str(TOKENS)]
    settings = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", VLLM, *options],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    base, persona = json.loads(done.stdout.splitlines()[-1])
    assert base == reply(load(folders["base"]), folders["base"])
    assert persona == expected
