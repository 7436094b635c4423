#!/usr/bin/env python3
"""A complete worker: takes jobs, says that they live while it works, reports. Standard library only.

    RECLAIMER_URL=http://127.0.0.1:7400 RECLAIMER_WORKER_TOKEN=$(cat data/worker.token) examples/worker.py
"""

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request

URL = os.environ.get("RECLAIMER_URL", "http://127.0.0.1:7400") + "/api/internal/jobs/"
TOKEN = os.environ["RECLAIMER_WORKER_TOKEN"]
NAME = os.environ.get("RECLAIMER_WORKER", f"python-{os.getpid()}")
BEAT = float(os.environ.get("RECLAIMER_BEAT", "15"))  # seconds; a quarter of the server's provisioning.lease


def call(path, body=None):
    """Asks the server, until it answers; gives back the status and the JSON. Every request may be repeated."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(URL + path, data, headers), timeout=90) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return error.code, json.load(error)
            print("the server cannot:", error, file=sys.stderr)
        except (OSError, ValueError) as error:  # not there, or cut off in the middle of its answer
            print("the server is away:", error, file=sys.stderr)
        time.sleep(1)


def keep(lease, over):
    """Says that a job lives, until it is over; sets `over` when the job was taken away meanwhile."""
    while not over.wait(BEAT):
        _, answer = call("heartbeat", {"workerId": NAME, "leases": [lease]})
        if not answer.get("renewed"):
            over.set()


def work(job, over):
    """The work itself. What it raises becomes the job's failure; it may stop when `over` is set."""
    print("working on", job["command"], job["payload"])
    over.wait(job["payload"].get("seconds", 0))  # your work goes here


def main():
    while True:
        status, jobs = call(f"open?workerId={NAME}&limit=1&wait=30")
        if status != 200:
            sys.exit(f"{status}: {jobs['detail']}")
        if isinstance(jobs, dict):  # provisioning is out of order: not our fault, and it says when to come back
            time.sleep(jobs["retryAfterMs"] / 1000)
            continue
        for job in jobs:
            lease, over = job["lease"]["token"], threading.Event()
            beats = threading.Thread(target=keep, args=(lease, over), daemon=True)
            beats.start()
            report = {"taskId": job["id"], "lease": lease, "status": "completed"}
            try:
                work(job, over)
            except Exception as error:  # noqa: BLE001 - whatever went wrong is what we report
                report |= {"status": "failed", "error": repr(error), "retryable": True}
            over.set()
            status, answer = call("progress", report)
            if status != 200:
                print("the report does not count:", answer["detail"], file=sys.stderr)


if __name__ == "__main__":
    main()
