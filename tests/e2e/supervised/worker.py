"""A worker that does what the command of its job says, good or bad. For the tests of supervision."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

NAME = os.environ["RECLAIMER_WORKER"]
ending = threading.Event()


class Link:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(os.environ["SOCKET_PATH"])
        self.lines = self.socket.makefile("rb")
        self.lock = threading.Lock()

    def say(self, kind, key, payload):
        frame = {"origin": "external-crawler", "destination": "web-server", "type": kind, "key": key, "payload": payload}
        with self.lock:
            self.socket.sendall(json.dumps(frame).encode())

    def hear(self):
        line = self.lines.readline()
        if not line:
            sys.exit("the server is gone")
        return json.loads(line)

    def beat(self):
        while True:
            self.say("heartbeat", "heartbeat", {"timestamp": time.time() * 1000})
            time.sleep(0.1)


def work(link, job):
    report = lambda status, **more: link.say(
        "message", "PROGRESS_UPDATE", {"taskId": job["id"], "lease": job["lease"]["token"], "status": status, **more}
    )
    command = job["command"]
    print(f"{NAME} works on {command}", flush=True)
    if command == "exit":
        print("something is about to go wrong", file=sys.stderr, flush=True)
        os._exit(7)
    elif command == "eat":
        held = []
        while True:
            held.append(bytearray(os.urandom(1) * 4_000_000))
            time.sleep(0.005)
    elif command == "fork":
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        report("processing", message=str(child.pid))
        signal.pause()
    elif command == "hang":
        os.kill(os.getpid(), signal.SIGSTOP)
        threading.Event().wait()
    elif command == "until-told":
        report("started")
        ending.wait()
    report("completed")


def main():
    if len(sys.argv) > 1:
        sys.exit(int(sys.argv[1]))
    link = Link()
    link.say("message", "registered", {"workerId": NAME, "protocol": 2, "features": ["lease", "ack"], "capacity": 1, "leases": []})
    threading.Thread(target=link.beat, daemon=True).start()
    link.say("jobRequest", "request_jobs", {"wait": 60})
    while True:
        message = link.hear()
        key, payload = message["key"], message["payload"]
        if key == "SHUTDOWN":
            ending.set()
        elif key == "jobs_available":
            for job in payload:
                if job["command"] == "linger":
                    # It says nothing more, and lives on until it is killed.
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    link.lock.acquire()
                    threading.Event().wait()
                threading.Thread(target=work, args=(link, job), daemon=True).start()
            if not payload and not ending.is_set():
                link.say("jobRequest", "request_jobs", {"wait": 60})
        elif key == "ack" and not ending.is_set():
            link.say("jobRequest", "request_jobs", {"wait": 60})


main()
