// Keeps the marked parts of a page up to date. A part says with data-live which events concern it (`job`, or `job:ID` for
// those of one job) and with data-from where it is fetched again. Without this script a page is as it was when it was
// opened, and everything else works.
"use strict";

(() => {
  const PAUSE = 1000;
  const BACK = 3000;
  const parts = [...document.querySelectorAll("[data-live]")].map((element) => ({
    element,
    events: element.dataset.live.split(" "),
    last: 0,
    due: null,
    busy: false,
    again: false,
  }));
  if (parts.length === 0 || !window.EventSource) return;

  const names = new Set(parts.flatMap((part) => part.events.map((event) => event.split(":")[0])));
  const sign = document.getElementById("live");

  // What a person has begun in a part stays: what is ticked, what is open, where the focus is.
  const replace = (element, html) => {
    const ticked = (box) => `${box.name}=${box.value}`;
    const boxes = new Map([...element.querySelectorAll("input[type=checkbox]")].map((box) => [ticked(box), box.checked]));
    const open = new Map([...element.querySelectorAll("details[id]")].map((it) => [it.id, it.open]));
    const links = [...element.querySelectorAll("a, button, summary, input")];
    const focused = links.indexOf(document.activeElement);
    element.innerHTML = html;
    for (const box of element.querySelectorAll("input[type=checkbox]")) {
      if (boxes.has(ticked(box))) box.checked = boxes.get(ticked(box));
    }
    for (const it of element.querySelectorAll("details[id]")) {
      if (open.has(it.id)) it.open = open.get(it.id);
    }
    if (focused >= 0) element.querySelectorAll("a, button, summary, input")[focused]?.focus({ preventScroll: true });
  };

  const refresh = async (part) => {
    part.due = null;
    if (document.hidden || part.busy) {
      part.again = true;
      return;
    }
    part.busy = true;
    part.again = false;
    try {
      const answer = await fetch(part.element.dataset.from, { headers: { "x-live": "1" }, cache: "no-store" });
      if (answer.status === 401) return location.reload();
      if (answer.ok) {
        const html = await answer.text();
        if (html !== part.html) replace(part.element, html);
        part.html = html;
      }
    } catch {
      part.again = true;
    } finally {
      part.busy = false;
      part.last = Date.now();
    }
    if (part.again && !document.hidden) soon(part);
  };

  const soon = (part) => {
    part.due ??= setTimeout(refresh, Math.max(0, part.last + PAUSE - Date.now()), part);
  };

  const concerns = (part, name, data) =>
    part.events.some((event) => event === name || event === `${name}:${data?.jobId ?? data?.id}`);

  // What is listened to: only the events that a part of this page waits for.
  const wanted = new URLSearchParams({ events: [...names].join(",") });
  const jobs = new Set(parts.flatMap((part) => part.events).filter((it) => it.startsWith("job")).map((it) => it.split(":")[1] ?? ""));
  if (jobs.size > 0 && !jobs.has("")) wanted.set("job", [...jobs].join(","));

  const tell = (live) => {
    sign.hidden = false;
    sign.textContent = live ? "Live" : "Not live";
    sign.classList.toggle("lost", !live);
  };

  let source = null;
  const listen = () => {
    const own = new EventSource(`/api/admin/events?${wanted}`);
    source = own;
    for (const name of names) {
      source.addEventListener(name, (event) => {
        let data = null;
        try {
          data = JSON.parse(event.data);
        } catch {
          // An event without data concerns whoever waits for its kind.
        }
        parts.filter((part) => concerns(part, name, data)).forEach(soon);
      });
    }
    // Something is not told.
    source.addEventListener("gap", () => parts.forEach(soon));
    source.onopen = () => {
      tell(true);
      // What happened since the page was made, or while nobody listened.
      parts.forEach(soon);
    };
    source.onerror = () => {
      if (source !== own) return;
      tell(false);
      // A browser comes back by itself, unless the server answered and refused it: then perhaps nobody is logged in any
      // more, which the parts find out, or there was no room.
      if (own.readyState !== EventSource.CLOSED) return;
      source = null;
      parts.forEach(soon);
      setTimeout(() => {
        if (!source && !document.hidden) listen();
      }, BACK);
    };
  };
  // A browser has few connections to one server: a page that nobody sees needs none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
      sign.hidden = true;
    } else if (!source) {
      listen();
      parts.forEach(soon);
    }
  });
  if (!document.hidden) listen();
})();
