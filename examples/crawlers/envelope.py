#!/usr/bin/env python3
"""A crawler of the envelope dialect, protocol 2: it counts words. Standard library only.

    SOCKET_PATH=crawler.sock examples/crawlers/envelope.py     # it listens there, and Reclaimer dials
    examples/crawlers/envelope.py --connect own.sock           # it connects to a link with mode = "listen"

A job has a text in its payload, or names a folder whose files are read. To try things out, a payload may also say
`seconds` (it takes at least so long), `until` (it takes until this file is there) and `fail` (it fails with this text).

To make it yours, replace `work`. What is said on the link, and why, is in docs/worker-protocol.md.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import re
import signal
import socket
import sys
import time
from pathlib import Path

ME, RECLAIMER = "external-crawler", "web-server"
FEATURES = ["lease", "cancel", "reattach", "ack"]
LARGEST = 1024 * 1024  # bytes of a frame that Reclaimer takes
PROGRESS_EVERY = 1.0  # seconds, as all below
ASK_AGAIN_AFTER = 1.0  # an empty answer may come at once; asking in a loop would be a flood
SEND_AGAIN_AFTER = 5.0
SILENCE = 60.0  # Reclaimer beats every 10


def work(job):
    """The work itself, in a thread. Says at each step how far it is, with a cursor from which it can go on another
    time; what it says last is the result, and what it raises is the job's failure."""
    began = time.monotonic()
    if job.path is None:
        texts = job.payload.get("text", "").splitlines()
    elif os.path.isdir(job.path):
        texts = sorted(path for path in Path(job.path).rglob("*") if path.is_file())
    else:
        raise FileNotFoundError(f"there is no folder {job.path}")
    cursor = {"next": 0, "words": 0, **(job.cursor or {})}
    seconds, until = job.payload.get("seconds", 0), job.payload.get("until")
    while True:
        done, words = cursor["next"], cursor["words"]
        said = {"processedItems": done, "totalItems": len(texts), "progress": {"words": words}, "resumeState": cursor}
        yield said
        if done < len(texts):
            text = texts[done] if job.path is None else texts[done].read_text(errors="replace")
            cursor = {"next": done + 1, "words": words + len(text.split())}
        elif time.monotonic() - began < seconds or (until is not None and not os.path.exists(until)):
            time.sleep(0.02)
        elif "fail" in job.payload:
            raise RuntimeError(job.payload["fail"])
        else:
            return


class Frames:
    """Cuts what is read into JSON objects. It looks at bytes, so a character that two reads cut is whole when decoded;
    and it knows strings and escapes, so a brace in a text is no brace."""

    MARKS = re.compile(rb'[{}"\\]')

    def __init__(self):
        self.buffer = bytearray()
        self.at = self.start = self.depth = 0
        self.in_string = False

    def take(self, data):
        self.buffer += data
        while mark := self.MARKS.search(self.buffer, self.at):
            self.at = mark.end()
            if self.in_string:
                self.at += mark[0] == b"\\"  # whatever is escaped marks nothing
                self.in_string = mark[0] != b'"'
            elif mark[0] == b'"':
                self.in_string = self.depth > 0
            elif mark[0] == b"{":
                self.start = mark.start() if self.depth == 0 else self.start
                self.depth += 1
            elif mark[0] == b"}" and self.depth > 0:
                self.depth -= 1
                if self.depth == 0:
                    frame = self.buffer[self.start : self.at]
                    del self.buffer[: self.at]
                    self.at = 0
                    yield json.loads(frame)
        self.at = max(self.at, len(self.buffer))


class Job:
    """A job that is held."""

    def __init__(self, wire):
        pushed = wire.get("type") == "START_JOB"  # which calls the id and the cursor otherwise
        self.id, self.cursor = wire["jobId" if pushed else "id"], wire["progress" if pushed else "resumeState"]
        self.lease, self.path, self.payload = wire["lease"]["token"], wire["fullPath"], wire["payload"]
        self.receipts = collections.deque()  # of the reports sent over this connection; they come in that order
        self.has_ended = False


class Crawler:
    def __init__(self, options):
        self.options = options
        self.jobs = {}  # what is held, by lease
        self.tasks = set()  # one for each job that is worked on
        self.dialled = asyncio.Queue()  # connections that were made to us
        self.introduced = asyncio.Event()  # set while there is a connection on which we have said who we are
        self.changed = asyncio.Event()  # rings when there may be a reason to ask for jobs, or none to stay
        self.paused = self.stopping = False
        self.to_leave = asyncio.Event()

    async def run(self):
        """Works until it is to leave; then it finishes what it can, and gives the rest back with a cursor."""
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, self.to_leave.set)
        if not self.options.connect:
            replace_dead_socket(self.options.listen)
            os.umask(0o077)
            await asyncio.start_unix_server(lambda *ends: self.dialled.put_nowait(ends), self.options.listen)
        talking = asyncio.create_task(self.keep_talking())
        await self.to_leave.wait()
        await self.wait_for_jobs(self.options.grace)
        self.stopping = True
        await self.wait_for_jobs(SEND_AGAIN_AFTER)
        if self.introduced.is_set():
            # What is still held goes back to the queue, and is held against nobody.
            self.say("message", "shutdown", {"reason": "it was asked to"})
            self.writer.write_eof()
            await asyncio.wait([talking], timeout=SEND_AGAIN_AFTER)
        talking.cancel()
        if not self.options.connect:
            os.unlink(self.options.listen)

    async def wait_for_jobs(self, seconds):
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=seconds)

    async def keep_talking(self):
        """Talks over one connection after the other."""
        failures = 0
        while not self.stopping:
            try:
                if self.options.connect:
                    reader, self.writer = await asyncio.open_unix_connection(self.options.connect)
                else:
                    reader, self.writer = await self.dialled.get()
                await self.talk(reader)
                failures = 0
            except (OSError, ValueError) as error:
                print("not connected:", error or "nothing was heard for too long", flush=True)
                failures += 1
            if self.options.connect and not self.stopping:
                delay = min(self.options.reconnect_delay * 1.5 ** min(failures, 20), 30)
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))

    async def talk(self, reader):
        frames, self.answered, self.paused = Frames(), None, False
        self.beside = []
        try:
            while data := await asyncio.wait_for(reader.read(65536), SILENCE):
                for message in frames.take(data):
                    self.hear(message.get("key"), message.get("payload"))
        finally:
            self.introduced.clear()
            self.writer.close()
            for task in self.beside:
                task.cancel()
            for job in self.jobs.values():
                self.forget_receipts(job)
            print("the connection ended", flush=True)

    def say(self, kind, key, payload):
        frame = {"origin": ME, "destination": RECLAIMER, "type": kind, "key": key, "payload": payload}
        frame["timestamp"] = int(time.time() * 1000)
        self.writer.write(json.dumps(frame).encode() + b"\n")

    def hear(self, key, payload):
        match key:
            case "register":
                who = {"workerId": self.options.name, "protocol": 2, "features": FEATURES}
                self.say("message", "registered", {**who, "capacity": self.options.capacity, "leases": [*self.jobs]})
                self.introduced.set()
                self.beside = [asyncio.create_task(self.beat()), asyncio.create_task(self.ask())]
            case "jobs_available":
                for job in map(Job, payload):
                    self.start(job)
                self.answered.set_result(0 if payload else ASK_AGAIN_AFTER)
            case "jobs_error":
                print("no jobs:", payload["error"], flush=True)
                self.answered.set_result(payload["retryAfterMs"] / 1000)
            case "START_JOB":
                self.start(Job(payload))
            case "ack" | "nack":
                job = self.jobs.get(payload["lease"])
                if key == "nack":
                    print("refused:", payload["code"], payload["message"], flush=True)
                if job is not None and job.receipts:
                    job.receipts.popleft().set_result(payload)
                    if payload.get("code") == "stale_lease":
                        self.let_go(job.lease, "it is somebody else's now")
            case "CANCEL_JOB" | "LEASE_LOST":
                self.let_go(payload["lease"], payload["reason"])
            case "lost":
                job = self.jobs.get(payload["lease"])
                if job is not None and not job.has_ended:  # an end may have counted before: its receipt will tell
                    self.let_go(job.lease, "it is somebody else's now")
            case "reattached":
                print("still held:", payload["jobId"], flush=True)
            case "PAUSE_CRAWLER" | "RESUME_CRAWLER":
                self.paused = key == "PAUSE_CRAWLER"
                self.changed.set()
                print("paused" if self.paused else "resumed", flush=True)
            case "SHUTDOWN":
                print("asked to leave:", payload["reason"], flush=True)
                self.paused = True
                self.beside.append(asyncio.create_task(self.leave_when_idle()))

    async def beat(self):
        while True:
            self.say("heartbeat", "heartbeat", {"timestamp": int(time.time() * 1000)})
            await asyncio.sleep(self.options.beat)

    async def ask(self):
        """Asks for jobs whenever there is room for more."""
        while True:
            while self.paused or self.to_leave.is_set() or len(self.jobs) >= self.options.capacity:
                self.changed.clear()
                await self.changed.wait()
            want = {"limit": self.options.capacity - len(self.jobs), "wait": self.options.wait}
            self.answered = asyncio.get_running_loop().create_future()
            self.say("jobRequest", "request_jobs", want | {"commands": self.options.commands})
            await asyncio.sleep(await self.answered)

    async def leave_when_idle(self):
        """When the server ends, the connection does too, and this task with it: then it is there again soon. Where the
        connection lasts, it is this process that is to end."""
        await asyncio.sleep(1)
        while self.jobs:
            self.changed.clear()
            await self.changed.wait()
        self.to_leave.set()

    def start(self, job):
        print("started:", job.id, flush=True)
        self.jobs[job.lease] = job
        task = asyncio.create_task(self.do(job))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def do(self, job):
        """Works on a job and says so, until it ends or is somebody else's."""
        said, told_at = {}, time.monotonic()
        self.tell(job, "started", {})
        try:
            steps = work(job)
            while step := await asyncio.to_thread(next, steps, None):
                if job.lease not in self.jobs:
                    return
                said = step
                if self.stopping:
                    return await self.insist(job, "processing", said)
                if time.monotonic() - told_at >= PROGRESS_EVERY:
                    told_at = time.monotonic()
                    self.tell(job, "processing", said)
            if len(json.dumps(said)) > LARGEST - 4_096:
                raise ValueError("the result is larger than a frame may be; keep it elsewhere and report where")
            end = "completed"
        except Exception as error:  # whatever went wrong is what is reported
            end, said = "failed", {"error": str(error)[:10_000] or repr(error), "errorType": type(error).__name__}
        job.has_ended = True
        print(f"{end}:", job.id, flush=True)
        await self.insist(job, end, said)
        self.let_go(job.lease)

    def tell(self, job, status, said):
        """Sends a report, if there is anybody to send it to; answers its receipt, which is None if none will come."""
        receipt = asyncio.get_running_loop().create_future()
        if self.introduced.is_set() and job.lease in self.jobs:
            job.receipts.append(receipt)
            self.say("message", "PROGRESS_UPDATE", {"taskId": job.id, "lease": job.lease, "status": status, **said})
        else:
            receipt.set_result(None)
        return receipt

    async def insist(self, job, status, said):
        """Sends a report until it is receipted, over as many connections as it takes: twice counts once."""
        while job.lease in self.jobs:
            await self.introduced.wait()
            match await self.tell(job, status, said):
                case None:
                    pass
                case {"code": "stale_lease" | "unknown_job" | "illegal_transition" | "broken_row"}:
                    return
                case {"code": "invalid_report" | "unknown_status", "message": message}:
                    if status == "failed":
                        return
                    status, said = "failed", {"error": message}  # our mistake; the job must not hang for it
                case {"code": _}:
                    await asyncio.sleep(SEND_AGAIN_AFTER)
                case _:
                    return

    def let_go(self, lease, why=None):
        job = self.jobs.pop(lease, None)
        if job is not None:
            if why is not None:
                print(f"let go: {job.id}: {why}", flush=True)
            self.forget_receipts(job)
            self.changed.set()

    def forget_receipts(self, job):
        while job.receipts:
            job.receipts.popleft().set_result(None)


def replace_dead_socket(path):
    """Takes a socket away on which nobody answers any more."""
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(path) == 0:
            sys.exit(f"{path}: somebody else listens there")
    Path(path).unlink(missing_ok=True)


def main():
    path = os.environ.get("SOCKET_PATH")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listen", metavar="PATH", default=path, help="where to listen (SOCKET_PATH)")
    parser.add_argument("--connect", metavar="PATH", nargs="?", const=path, help="connect there (SOCKET_PATH) instead")
    parser.add_argument("--name", default=os.environ.get("RECLAIMER_WORKER", f"python-{os.getpid()}"))
    parser.add_argument("--capacity", type=int, default=2, help="jobs at once")
    parser.add_argument("--commands", nargs="*", default=[], help="take only jobs of these; default: of any")
    parser.add_argument("--wait", type=float, default=30, help="seconds that a request for jobs waits, at most 60")
    parser.add_argument("--beat", type=float, default=10, help="seconds between heartbeats")
    parser.add_argument("--grace", type=float, default=5, help="seconds in which it finishes jobs before it leaves")
    parser.add_argument("--reconnect-delay", type=float, default=1, help="seconds; grows to 30")
    options = parser.parse_args()
    if not (options.listen or options.connect):
        parser.error("name a socket: SOCKET_PATH, --listen or --connect")
    asyncio.run(Crawler(options).run())


if __name__ == "__main__":
    main()
