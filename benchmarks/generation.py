"""Generation against its baselines, in one run on one machine.

Conversations: coroutines with prefix caching, as the pipeline has them, against a lockstep driver
without prefix caching that asks for the same conversations; tokens prefilled (vLLM's own counts) and
wall time. Throughput: the engine layer, which on a CPU draws tokens in a way of its own, against raw
LLM.generate on the same requests.

    python benchmarks/generation.py --model results/models/smollm2 [--conversations 24] [--turns 10]

Each side runs in a process of its own; the last lines are the ratios.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

SIDES = ("coroutines", "lockstep", "engine", "raw")


def engine_settings(arguments: argparse.Namespace, prefix_caching: bool) -> dict:
    return {
        "kind": "vllm",
        "model": str(arguments.model),
        "context": arguments.context,
        "dtype": arguments.dtype,
        "sequences": arguments.sequences,
        "prefix_caching": prefix_caching,
    }


def conversations(arguments: argparse.Namespace) -> list:
    """The pipeline's own conversations, with a constitution of the repository as the system prompt."""
    from transformers import AutoTokenizer

    from characterflow.constitutions import load
    from characterflow.engines import Sampling
    from characterflow.introspection import conversation_samples
    from characterflow.responses import trait_prompt

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
    from characterflow.generation import conversations_in_flight

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
    from characterflow.engines import Request, Sampling
    from characterflow.files import read_jsonl

    prompts = read_jsonl(Path(__file__).parents[1] / "resources" / "prompts" / "evaluation.jsonl")
    sampling = Sampling(temperature=0.7, max_tokens=arguments.new_tokens)
    return [
        Request(({"role": "user", "content": row["prompt"]},), sampling, seed=number)
        for number, row in enumerate(prompts[: arguments.requests])
    ]


async def run_engine(arguments: argparse.Namespace) -> dict:
    from characterflow.engines import open_engine

    async with open_engine(engine_settings(arguments, prefix_caching=True)) as engine:
        await engine.complete(requests(arguments)[0])
        start = time.perf_counter()
        replies = await asyncio.gather(*map(engine.complete, requests(arguments)))
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "tokens": sum(reply.completion_tokens for reply in replies)}


def draw_as_vllm_does(worker) -> None:
    """Take back what the engine layer puts into a worker on a CPU (characterflow.engines.drawing)."""
    sampler = worker.model_runner.sampler.topk_topp_sampler
    sampler.forward = sampler.forward_cpu


def run_raw(arguments: argparse.Namespace) -> dict:
    from vllm import SamplingParams

    from characterflow.chat import encode
    from characterflow.devices import has_gpu
    from characterflow.engines.vllm_engine import VllmEngine

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
    return {"seconds": seconds, "tokens": sum(len(output.outputs[0].token_ids) for output in outputs)}


def run_side(arguments: argparse.Namespace) -> dict:
    if arguments.side == "raw":
        return run_raw(arguments)
    if arguments.side == "engine":
        return asyncio.run(run_engine(arguments))
    return asyncio.run(run_conversations(arguments, lockstep=arguments.side == "lockstep"))


def in_a_process_of_its_own(side: str) -> dict:
    done = subprocess.run(
        [sys.executable, *sys.argv, "--side", side], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--conversations", type=int, default=24)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--requests", type=int, default=96)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--dtype", default="float32", help="float32 makes both sides say the same")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(run_side(arguments)))
        return
    ours, theirs = in_a_process_of_its_own("coroutines"), in_a_process_of_its_own("lockstep")
    same = sum(a == b for a, b in zip(ours["texts"], theirs["texts"], strict=True))
    print(f"conversations that are the same: {same} of {len(ours['texts'])}")
    for name in ("prefilled_tokens", "seconds"):
        print(f"{name}: {ours[name]:.0f} / {theirs[name]:.0f} = {ours[name] / theirs[name]:.2f}")
    engine, raw = in_a_process_of_its_own("engine"), in_a_process_of_its_own("raw")
    rates = engine["tokens"] / engine["seconds"], raw["tokens"] / raw["seconds"]
    print(
        f"tokens/s, engine layer / LLM.generate: {rates[0]:.0f} / {rates[1]:.0f} = {rates[0] / rates[1]:.2f}"
    )


if __name__ == "__main__":
    main()
