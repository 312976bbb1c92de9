"""Generation against its baselines, in one run on one machine.

conversations: coroutines with prefix caching, as the pipeline has them, against a lockstep driver
without prefix caching that asks for the same conversations; tokens prefilled (vLLM's own counts) and
wall time.
layer: tokens per second of the engine layer, which on a CPU draws tokens in a way of its own, against raw
LLM.generate on the same requests.
adapters, for a GPU: the requests of several adapters in one batch against one adapter after the other, and
against as many requests without an adapter.
compile, for a GPU: tokens per second, and seconds of a load, with the model compiled against without. The
first load compiles, later ones find the result in vLLM's cache.

    python benchmarks/generation.py --model results/models/smollm2 [--conversations 24] [--turns 10]
    python benchmarks/generation.py --random-model 8b --dtype bfloat16 --questions layer adapters compile

Each side runs in a process of its own; every line ends with a ratio. A random model's tokens are seldom
text, so it does not answer the first question.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from random_model import SHAPES, random_adapter, random_model

QUESTIONS = ("conversations", "layer", "adapters", "compile")
SIDES = ("prepare", "coroutines", "lockstep", "engine", "raw", "adapters", "first", "compiled", "eager")
RANK = 128  # of two adapters of rank 64, merged exactly


def prepare(arguments: argparse.Namespace) -> dict:
    """The model's folder and those of the adapters, made where they are not given."""
    model = arguments.model or random_model(arguments.random_model, arguments.dtype, arguments.work / "model")
    count = arguments.adapters if "adapters" in arguments.questions else 0
    adapters = {str(i): arguments.work / f"adapter-{i}" for i in range(count)}
    for name, folder in adapters.items():
        random_adapter(model, RANK, int(name), folder)
    return {"model": str(model), "adapters": {name: str(folder) for name, folder in adapters.items()}}


def engine_settings(arguments: argparse.Namespace, prefix_caching: bool) -> dict:
    return {
        "kind": "vllm",
        "model": str(arguments.model),
        "context": arguments.context,
        "dtype": arguments.dtype,
        "sequences": arguments.sequences,
        "prefix_caching": prefix_caching,
        "compile": arguments.side != "eager",
    }


def conversations(arguments: argparse.Namespace) -> list:
    """The pipeline's own conversations, with a constitution of the repository as the system prompt."""
    from transformers import AutoTokenizer

    from characterflow.constitutions.reading import load
    from characterflow.constitutions.system_prompt import trait_prompt
    from characterflow.engines import Sampling
    from characterflow.introspection.samples import conversation_samples

    constitution = load(Path(__file__).parents[1] / "constitutions" / "sarcasm.yaml")
    half = arguments.conversations // 2
    return conversation_samples(
        trait_prompt(constitution, "SmolLM"),
        "SmolLM",
        {"free": half, "leading": arguments.conversations - half},
        arguments.turns,
        Sampling(temperature=0.7, max_tokens=arguments.new_tokens),
        0,
        AutoTokenizer.from_pretrained(arguments.model),
        arguments.context,
    )


class Lockstep:
    """Lets a turn begin when every conversation has finished the one before."""

    cache_tokens = None

    def __init__(self, engine, size: int) -> None:
        self.engine, self.concurrency, self.active = engine, size, size
        self.waiting: list = []

    async def complete(self, request):
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((request, future))
        await self.advance()
        return await future

    async def leave(self) -> None:
        self.active -= 1
        await self.advance()

    async def advance(self) -> None:
        if not self.waiting or len(self.waiting) < self.active:
            return
        turn, self.waiting = self.waiting, []
        replies = await asyncio.gather(*(self.engine.complete(request) for request, _ in turn))
        for (_, future), reply in zip(turn, replies, strict=True):
            future.set_result(reply)


async def run_conversations(arguments: argparse.Namespace, lockstep: bool) -> dict:
    from characterflow.engines import open_engine
    from characterflow.engines.generation import conversations_in_flight

    samples = conversations(arguments)
    async with open_engine(engine_settings(arguments, prefix_caching=not lockstep)) as engine:
        driver = Lockstep(engine, len(samples)) if lockstep else engine
        allowed = len(samples) if lockstep else conversations_in_flight(engine, arguments.context)
        gate = asyncio.Semaphore(allowed)

        async def one(sample) -> dict:
            async with gate:
                row = await sample.make(driver)
            if lockstep:
                await driver.leave()
            return row

        start = time.perf_counter()
        rows = await asyncio.gather(*map(one, samples))
        seconds = time.perf_counter() - start
        counters = dict(engine.counters)
    texts = [row["utterances"] for row in rows]
    return {"seconds": seconds, "texts": texts, **counters}


def requests(arguments: argparse.Namespace) -> list:
    from characterflow.core.files import read_jsonl
    from characterflow.engines import Request, Sampling

    prompts = read_jsonl(Path(__file__).parents[1] / "resources" / "prompts" / "evaluation.jsonl")
    sampling = Sampling(temperature=0.7, max_tokens=arguments.new_tokens)
    asked = islice(cycle(prompts), arguments.requests)
    return [
        Request(({"role": "user", "content": row["prompt"]},), sampling, seed=number)
        for number, row in enumerate(asked)
    ]


async def run_engine(arguments: argparse.Namespace) -> dict:
    from characterflow.engines import open_engine

    start = time.perf_counter()
    async with open_engine(engine_settings(arguments, prefix_caching=True)) as engine:
        load = time.perf_counter() - start
        await engine.complete(requests(arguments)[0])
        return {"load": load, "rate": await rate(engine, requests(arguments))}


async def rate(engine, wanted: list) -> float:
    """Tokens generated per second."""
    engine.llm.reset_prefix_cache()
    start = time.perf_counter()
    replies = await asyncio.gather(*map(engine.complete, wanted))
    return sum(reply.completion_tokens for reply in replies) / (time.perf_counter() - start)


async def run_adapters(arguments: argparse.Namespace) -> dict:
    """Tokens per second with all adapters at once, one after the other, and without any."""
    from dataclasses import replace

    from characterflow.engines import open_engine

    folders = json.loads(arguments.prepared)["adapters"]
    settings = engine_settings(arguments, prefix_caching=True) | {"adapters": folders}
    apart = {name: [replace(one, adapter=name) for one in requests(arguments)] for name in folders}
    every = [one for wanted in apart.values() for one in wanted]
    async with open_engine(settings) as engine:
        await rate(engine, every)
        together = await rate(engine, every)
        in_turn = [await rate(engine, wanted) for wanted in apart.values()]
        without = await rate(engine, [replace(one, adapter=None) for one in every])
    return {
        "together": together,
        "in turn": len(in_turn) / sum(1 / one for one in in_turn),
        "without": without,
    }


def draw_as_vllm_does(worker) -> None:
    """Take back what the engine layer puts into a worker on a CPU (characterflow.engines.drawing)."""
    sampler = worker.model_runner.sampler.topk_topp_sampler
    sampler.forward = sampler.forward_cpu


def run_raw(arguments: argparse.Namespace) -> dict:
    from vllm import SamplingParams

    from characterflow.engines.templates import encode
    from characterflow.engines.vllm import VllmEngine
    from characterflow.machine.devices import has_gpu

    llm = VllmEngine(engine_settings(arguments, prefix_caching=True)).llm
    if not has_gpu():
        llm.collective_rpc(draw_as_vllm_does)
    wanted = requests(arguments)
    parameters = [
        SamplingParams(temperature=0.7, top_p=0.95, max_tokens=arguments.new_tokens, seed=request.seed)
        for request in wanted
    ]
    tokenizer = llm.get_tokenizer()
    prompts = [{"prompt_token_ids": encode(tokenizer, request.messages)} for request in wanted]
    llm.generate(prompts[:1], parameters[:1], use_tqdm=False)
    start = time.perf_counter()
    outputs = llm.generate(prompts, parameters, use_tqdm=False)
    seconds = time.perf_counter() - start
    return {"rate": sum(len(output.outputs[0].token_ids) for output in outputs) / seconds}


def run_side(arguments: argparse.Namespace) -> dict:
    if arguments.side == "prepare":
        return prepare(arguments)
    if arguments.side == "raw":
        return run_raw(arguments)
    if arguments.side == "adapters":
        return asyncio.run(run_adapters(arguments))
    if arguments.side in ("coroutines", "lockstep"):
        return asyncio.run(run_conversations(arguments, lockstep=arguments.side == "lockstep"))
    return asyncio.run(run_engine(arguments))


def in_a_process_of_its_own(side: str, *options: str) -> dict:
    command = [sys.executable, *sys.argv, "--side", side, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def tell(name: str, ours: float, theirs: float) -> None:
    print(f"{name}: {ours:.0f} / {theirs:.0f} = {ours / theirs:.2f}", flush=True)


def answer(question: str, prepared: dict) -> None:
    """Run the sides of a question and print their ratios."""

    def run(side: str) -> dict:
        return in_a_process_of_its_own(side, "--prepared", json.dumps(prepared))

    if question == "conversations":
        ours, theirs = run("coroutines"), run("lockstep")
        same = sum(a == b for a, b in zip(ours["texts"], theirs["texts"], strict=True))
        print(f"conversations that are the same: {same} of {len(ours['texts'])}")
        for name in ("prefilled_tokens", "seconds"):
            tell(name, ours[name], theirs[name])
    elif question == "layer":
        tell("tokens/s, engine layer / LLM.generate", run("engine")["rate"], run("raw")["rate"])
    elif question == "adapters":
        rates = run("adapters")
        count = f"{len(prepared['adapters'])} adapters"
        tell(f"tokens/s, {count} in one batch / one after the other", rates["together"], rates["in turn"])
        tell(f"tokens/s, {count} in one batch / without an adapter", rates["together"], rates["without"])
    else:
        first, compiled, eager = run("first"), run("compiled"), run("eager")
        tell("tokens/s, compiled / not", compiled["rate"], eager["rate"])
        tell("seconds of the first load, compiled / not", first["load"], eager["load"])
        tell("seconds of a later load, compiled / not", compiled["load"], eager["load"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    models = parser.add_mutually_exclusive_group(required=True)
    models.add_argument("--model", type=Path, help="folder of a model")
    models.add_argument("--random-model", choices=SHAPES, help="make a Llama of this size")
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=["conversations", "layer"])
    parser.add_argument("--conversations", type=int, default=24)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--requests", type=int, default=96)
    parser.add_argument("--adapters", type=int, default=3, help=f"random ones of rank {RANK}")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--dtype", default="float32", help="float32 makes both sides say the same")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--prepared", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.prepared:
        arguments.model = Path(json.loads(arguments.prepared)["model"])
    if arguments.side:
        print(json.dumps(run_side(arguments)))
        return
    with tempfile.TemporaryDirectory() as work:
        prepared = in_a_process_of_its_own("prepare", "--work", work)
        for question in arguments.questions:
            answer(question, prepared)


if __name__ == "__main__":
    main()
