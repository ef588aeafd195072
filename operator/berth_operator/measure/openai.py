"""A language model behind an OpenAI-compatible endpoint as a target: answers are streamed, tokens timed one by one.

One streamed chunk counts as one token, as servers send them; where the answer ends with a usage that says otherwise,
the chunks are spread over as many tokens.
"""

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from berth_operator.measure.triton import UnusableTarget

WORDS = (
    "berth",
    "harbour",
    "tide",
    "anchor",
    "mooring",
    "quay",
    "lantern",
    "pilot",
    "channel",
    "buoy",
    "crane",
    "keel",
)


class RequestFailed(Exception):
    """Raised where an answer is no answer; the message has the status and the server's words."""


@dataclass(slots=True)
class OpenAITarget:
    """``prompt_tokens`` asked for are words, one a token or a little less; ``seen_prompt_tokens`` is what the server
    counted."""

    session: aiohttp.ClientSession
    address: str
    model: str
    prompt_tokens: int
    output_tokens: int
    seed: int
    seen_prompt_tokens: list[int] = field(default_factory=list)

    async def send(self, number: int) -> tuple[float, ...]:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": self._prompt(number)}],
            "max_tokens": self.output_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            # vLLM's, ignored by others: a measured answer has the length that was asked for.
            "ignore_eos": True,
        }
        times: list[float] = []
        clock = asyncio.get_running_loop().time
        async with self.session.post(f"{self.address}/chat/completions", json=body) as response:
            if response.status != 200:
                raise RequestFailed(f"{response.status}: {(await response.text())[:120]}")
            rest = b""
            async for piece in response.content.iter_any():
                *lines, rest = (rest + piece).split(b"\n")
                now = clock()
                for line in lines:
                    event = _event(line)
                    if _has_text(event):
                        times.append(now)
                    usage = event.get("usage") or {}
                    if usage.get("prompt_tokens"):
                        self.seen_prompt_tokens.append(int(usage["prompt_tokens"]))
                        times = _spread(times, int(usage.get("completion_tokens") or 0))
        if not times:
            raise RequestFailed("the answer had no token in it")
        return tuple(times)

    def _prompt(self, number: int) -> str:
        """Another one for each request, the same for the same seed: a shared prefix would be served from a cache."""
        draw = random.Random(f"{self.seed}-{number}")  # noqa: S311  (no secret)
        return " ".join(draw.choice(WORDS) for _ in range(self.prompt_tokens))

    async def close(self) -> None:
        await self.session.close()


async def openai_target(
    address: str, model: str | None, *, prompt_tokens: int, output_tokens: int, seed: int, key: str | None
) -> OpenAITarget:
    """``address`` ends in /v1 or is the server's root; without ``model`` the only one that is served. Raises
    :class:`UnusableTarget`."""
    base = address.rstrip("/")
    base = base if base.endswith("/v1") else f"{base}/v1"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    session = aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0))
    try:
        async with session.get(f"{base}/models", timeout=aiohttp.ClientTimeout(total=10)) as response:
            listed = await response.json(content_type=None) if response.status == 200 else {}
        served = [str(one.get("id")) for one in (listed.get("data") or []) if isinstance(one, dict)]
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
        await session.close()
        raise UnusableTarget(f"{base} does not answer as an OpenAI-compatible endpoint: {error}") from error
    chosen = model or (served[0] if len(served) == 1 else None)
    if chosen is None:
        await session.close()
        raise UnusableTarget(f"{base} serves {', '.join(served) or 'no model that it lists'}: say which with --model")
    return OpenAITarget(session, base, chosen, prompt_tokens, output_tokens, seed)


def _event(line: bytes) -> dict[str, Any]:
    """The object of a server-sent event; empty for anything else."""
    if not line.startswith(b"data:") or line.strip() == b"data: [DONE]":
        return {}
    try:
        found = json.loads(line[5:])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _has_text(event: dict[str, Any]) -> bool:
    choices = event.get("choices") or []
    delta = (choices[0].get("delta") or {}) if choices and isinstance(choices[0], dict) else {}
    return bool(delta.get("content") or delta.get("reasoning_content"))


def _spread(times: list[float], tokens: int) -> list[float]:
    """As many times as tokens: some servers put several tokens into a chunk. First and last stay where they are."""
    if tokens <= len(times) or len(times) < 2:
        return times
    last = len(times) - 1
    positions = [index * last / (tokens - 1) for index in range(tokens)]
    return [times[int(at)] + (at - int(at)) * (times[min(int(at) + 1, last)] - times[int(at)]) for at in positions]
