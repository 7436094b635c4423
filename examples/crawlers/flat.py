#!/usr/bin/env python3
"""A crawler of the flat dialect that behaves as those do that exist: it walks folders. Standard library only.

    SOCKET_PATH=flat.sock examples/crawlers/flat.py

It connects, polls while it is idle, beats whatever it does, and counts braces without looking at strings. It keeps
nothing: what it would have said while the link is down is lost. For a worker of your own start from envelope.py. This
one is for trying out what a server has to live with, and has a switch for each of those things.

A job names a folder in `entityId`: `areas` finds the folders in it, anything else counts its files.
"""

import argparse
import json
import os
import select
import signal
import socket
import sys
import time
from datetime import datetime, timezone

PROGRESS_EVERY = 5.0  # seconds
TOKEN_WITHIN = 15.0


def walk(entity_type, folder):
    """The work itself. Yields at each step how many files it has counted, and the folders to crawl next."""
    if not os.path.isdir(folder):
        raise LookupError(f"HTTP 404: there is no folder {folder}")
    files, found = 0, []
    for path, folders, names in os.walk(folder):
        files += len(names)
        if entity_type == "areas" and path != folder:
            area = {"job_type": "crawl_group" if folders else "crawl_project", "entity_id": path, "priority": 1}
            found.append({**area, "namespace_path": path, "entity_name": os.path.basename(path)})
        yield files, found


class Job:
    """A job that runs, one step at a time."""

    def __init__(self, crawler, wire):
        self.crawler, self.wire = crawler, wire
        self.id, self.entity_type = wire["id"], wire["entityType"]
        self.token, self.is_refused = wire["accessToken"], False
        self.began = self.told_at = time.monotonic()
        self.steps = self.run()

    def run(self):
        options = self.crawler.options
        if options.needs_token and not self.token:
            yield from self.refreshed_token()
        for files, found in walk(self.entity_type, self.wire["entityId"]):
            self.tell(files)
            yield
        if found:
            groups = sum(area["job_type"] == "crawl_group" for area in found)
            summary = {"total_groups": groups, "total_projects": len(found) - groups}
            self.say("jobs_discovered", {"discovered_jobs": found, "discovery_summary": summary})
        while self.age() < options.work or (options.until and not os.path.exists(options.until)):
            if options.fail_long_jobs is not None and self.age() > options.fail_long_jobs:
                raise TypeError("undefined is not an object (evaluating 'progress.estimatedTime')")
            self.tell(files)
            yield
        self.say("job_completed", {"success": True, "finalCounts": {"files": files}, "message": "done"})

    def age(self):
        return time.monotonic() - self.began

    def tell(self, files):
        if time.monotonic() - self.told_at > PROGRESS_EVERY:
            self.told_at = time.monotonic()
            self.say("job_progress", {"stage": "fetching", "entityType": self.entity_type, "processed": files})

    def step(self):
        """Goes a step further; answers whether it goes on."""
        try:
            next(self.steps)
            return True
        except StopIteration:
            return False
        except Exception as error:
            recoverable = "unauthorized" not in str(error) and "forbidden" not in str(error)
            failure = {"error": str(error), "errorType": type(error).__name__, "isRecoverable": recoverable}
            self.say("job_failed", failure)
            return False

    def refreshed_token(self):
        """Asks for credentials and waits; whoever gets none has failed."""
        self.say("token_refresh_request", {})
        asked_at = time.monotonic()
        while not self.token:
            if self.is_refused:
                raise PermissionError("401 unauthorized: the token could not be refreshed")
            if time.monotonic() - asked_at > TOKEN_WITHIN:
                raise TimeoutError("Timeout waiting for token refresh")
            yield

    def say(self, kind, data):
        self.crawler.say(kind, data, self.id)


class Crawler:
    def __init__(self, options):
        self.options = options
        self.jobs = {}
        self.taken = 0
        self.socket = self.mute = None

    def run(self):
        failures = 0
        while failures < self.options.attempts:
            try:
                with socket.socket(socket.AF_UNIX) as self.socket:
                    self.socket.connect(self.options.path)
                    failures = 0
                    if self.options.second_connection and self.mute is None:
                        self.mute = socket.socket(socket.AF_UNIX)
                        self.mute.connect(self.options.path)
                    self.talk()
            except OSError as error:
                print("not connected:", error, flush=True)
            failures += 1
            self.socket = None
            self.work_for(self.options.reconnect_delay)
        sys.exit(f"the server was not there {failures} times in a row")

    def talk(self):
        text, beat_at, poll_at = "", time.monotonic() + self.options.beat, 0.0
        while True:
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + self.options.beat
                # Whatever it does, it claims to be idle.
                self.say("heartbeat", {"activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle"})
            if now >= poll_at:
                poll_at = now + self.options.poll
                if not self.jobs:
                    self.say("job_request", {})
            ready, _, _ = select.select([self.socket], [], [], self.pause(min(beat_at, poll_at) - now))
            self.work()
            if not ready:
                continue
            data = self.socket.recv(65536)
            if not data:
                return
            # Each read is decoded on its own, so a character that two of them cut is damaged.
            text += data.decode(errors="replace")
            while (end := end_of_frame(text)) is not None:
                self.hear(json.loads(text[text.index("{") : end]))
                text = text[end:]

    def pause(self, seconds):
        return 0.01 if self.jobs else max(seconds, 0)

    def work_for(self, seconds):
        """Goes on with its jobs while there is no link; what they say is lost."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(self.pause(left), left))
            self.work()

    def work(self):
        for job in list(self.jobs.values()):
            if not job.step():
                del self.jobs[job.id]

    def say(self, kind, data, job=None):
        frame = {"type": kind, "timestamp": datetime.now(timezone.utc).isoformat(), "data": data}
        if job is not None:
            frame["jobId"] = job
        if self.socket is not None:
            try:
                self.socket.sendall(json.dumps(frame, ensure_ascii=False).encode())
            except OSError:
                pass  # lost, as everything is that is said without a link

    def hear(self, message):
        data = message["data"]
        match message["type"]:
            case "job_response":
                for wire in data["jobs"]:
                    if wire["id"] not in self.jobs:
                        self.begin(wire)
            case "token_refresh_response":
                job = self.jobs.get(message.get("jobId"))
                if job is not None and data["accessToken"] and data["expiresAt"]:
                    job.token = data["accessToken"]
                elif job is not None:
                    job.is_refused = True

    def begin(self, wire):
        job = self.jobs[wire["id"]] = Job(self, wire)
        print("started:", job.id, wire["entityId"], flush=True)
        job.say("job_started", {"entityType": wire["entityType"], "entityId": wire["entityId"]})
        if self.taken == self.options.silent_exit_after:
            os._exit(0)
        self.taken += 1


def end_of_frame(text):
    """Where the first frame ends, by its braces alone."""
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if letter == "}" and depth == 0:
            return at + 1
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("path", nargs="?", default=os.environ.get("SOCKET_PATH"), help="the link's socket (SOCKET_PATH)")
    add("--beat", type=float, default=5, help="seconds between heartbeats")
    add("--poll", type=float, default=5, help="seconds between requests for jobs while it has none")
    add("--reconnect-delay", type=float, default=5, help="seconds")
    add("--attempts", type=int, default=10, help="it gives up when so many in a row have failed")
    add("--work", type=float, default=0, help="each job takes at least so many seconds")
    add("--until", metavar="FILE", help="each job takes until this file is there")
    add("--needs-token", action="store_true", help="it asks for credentials where a job came without")
    add("--second-connection", action="store_true", help="it opens a second connection and says nothing on it")
    add("--fail-long-jobs", type=float, metavar="SECONDS", help="what takes longer fails by a TypeError")
    add("--silent-exit-after", type=int, metavar="N", help="it ends in the middle of a job, after N whole ones")
    options = parser.parse_args()
    if not options.path:
        parser.error("name a socket, or set SOCKET_PATH")
    # A signal ends it at once: it reports nothing about the jobs that it has.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: os._exit(0))
    Crawler(options).run()


if __name__ == "__main__":
    main()
