#!/usr/bin/env python3
"""A complete worker: takes jobs, says that it lives, reports. Standard library only.

    RECLAIMER_URL=http://127.0.0.1:7400 RECLAIMER_WORKER_TOKEN=$(cat data/worker.token) examples/worker.py
"""

import json
import os
import time
import urllib.error
import urllib.request

URL = os.environ.get("RECLAIMER_URL", "http://127.0.0.1:7400") + "/api/internal/jobs/"
TOKEN = os.environ["RECLAIMER_WORKER_TOKEN"]
NAME = os.environ.get("RECLAIMER_WORKER", f"python-{os.getpid()}")


def call(path, body=None):
    """Asks the server; answers its status and its JSON."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(URL + path, data, headers), timeout=90) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def work(job):
    """The work itself; what it raises becomes the job's failure."""
    print("working on", job["command"], job["payload"])


def main():
    while True:
        _, jobs = call(f"open?workerId={NAME}&limit=1&wait=30")
        if isinstance(jobs, dict):  # provisioning is out of order: not our fault, and it says when to come back
            time.sleep(jobs["retryAfterMs"] / 1000)
            continue
        for job in jobs:
            report = {"taskId": job["id"], "lease": job["lease"]["token"], "status": "completed"}
            try:
                work(job)
            except Exception as error:  # noqa: BLE001 - whatever went wrong is what we report
                report |= {"status": "failed", "error": repr(error), "retryable": True}
            status, answer = call("progress", report)
            if status == 409:
                print("too late: the job is somebody else's now:", answer["detail"])


if __name__ == "__main__":
    main()
