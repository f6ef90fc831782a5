"""Asks a running server for recommendations from many clients at once, and prints latency percentiles.

python experiments/bench/serve_load.py http://127.0.0.1:8000 clients=200 requests=5
"""

import asyncio
import random
import sys
import time
from collections import Counter

import aiohttp
import numpy as np

PERCENTILES = (50, 90, 95, 99, 100)


async def load(address: str, clients: int, requests: int) -> tuple[list[float], Counter[str]]:
    """Returns the seconds of each answered request, and how many requests had which result."""
    seconds, results = list[float](), Counter[str]()
    # aiohttp comes with pytorch-lightning. httpx takes 10 ms of CPU time for a request if there are 200 connections.
    settings = {"connector": aiohttp.TCPConnector(limit=clients), "timeout": aiohttp.ClientTimeout(120)}
    async with aiohttp.ClientSession(address, **settings) as client:
        async with client.get("/titles", params={"q": "e"}) as answer:
            titles = (await answer.json())["titles"]

        async def ask(number: int) -> None:
            generator = random.Random(number)
            for _ in range(requests):
                history = generator.choices(titles, k=generator.randint(1, 5))
                started = time.perf_counter()
                try:
                    async with client.post("/recommend", json={"history": history}) as answer:
                        await answer.read()
                except (aiohttp.ClientError, TimeoutError) as error:
                    results[type(error).__name__] += 1
                    continue
                results[f"status {answer.status}"] += 1
                seconds.append(time.perf_counter() - started)

        await asyncio.gather(*map(ask, range(clients)))
    return seconds, results


def main() -> int:
    """Prints the percentiles; returns 1 if a request failed."""
    address = sys.argv[1]
    own = dict(argument.split("=") for argument in sys.argv[2:])
    clients, requests = int(own.get("clients", "200")), int(own.get("requests", "5"))
    started = time.perf_counter()
    seconds, results = asyncio.run(load(address, clients, requests))
    spent = time.perf_counter() - started
    print(f"{clients} clients, {requests} requests each: {', '.join(f'{n} x {name}' for name, n in results.items())}")
    print(f"{len(seconds) / spent:.1f} requests/s over {spent:.1f} s")
    values = np.percentile(seconds, PERCENTILES)
    print("latency, s: " + ", ".join(f"p{p} {v:.3f}" for p, v in zip(PERCENTILES, values, strict=True)))
    return 0 if set(results) == {"status 200"} else 1


if __name__ == "__main__":
    sys.exit(main())
