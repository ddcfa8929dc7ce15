// Keys for the review pages, and what htmx does not do: say aloud what happened, and tell when nothing was saved.
// Every action is a real button or link carrying data-key, so the page works the same without this file.

(() => {
  const STORE = "journey-insight.keys";
  const UNREAD_MILLISECONDS = 300;
  let arrivedAt = -Infinity;
  const keysOn = () => localStorage.getItem(STORE) !== "off";
  const typing = (element) =>
    element.closest("textarea, select, [contenteditable]") ||
    (element.matches("input") && !["checkbox", "radio"].includes(element.type));
  const find = (key) => document.querySelector(`[data-key="${CSS.escape(key)}"]:not([disabled])`);
  const say = (text) => { document.getElementById("live").textContent = text; };

  function press(key) {
    const element = find(key);
    if (!element) return false;
    const details = element.closest("details");
    if (details && !element.matches("summary")) details.open = true;
    if (element.matches("textarea, input[type=text]")) element.focus();
    else if (element.matches("summary")) { element.click(); element.focus(); }
    else element.click();
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const dialog = document.querySelector("dialog[open]");
    const target = event.target;
    if (typing(target)) {
      if (event.key === "Escape") { target.blur(); document.getElementById("words")?.focus(); }
      return;
    }
    if (dialog || !keysOn()) return;
    // Enter belongs to the focused button or link; only when none is focused does it confirm the model's answer.
    if (event.key === "Enter" && target.closest("a, button, summary, input")) return;
    // A key struck twice must not answer the next case, which nobody can have read yet.
    if (performance.now() - arrivedAt < UNREAD_MILLISECONDS) return;
    if (!event.repeat && press(event.key)) event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (!opener) return;
    const dialog = document.getElementById(opener.dataset.opens);
    if (dialog?.showModal) { event.preventDefault(); dialog.showModal(); }
  });

  const shown = () => document.documentElement.classList.toggle("keys-off", !keysOn());
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-keys-switch]")) return;
    localStorage.setItem(STORE, event.target.checked ? "on" : "off");
    shown();
  });
  shown();
  document.querySelectorAll("[data-keys-switch]").forEach((box) => { box.checked = keysOn(); });

  const trouble = (text) => {
    const box = document.getElementById("trouble");
    if (!box) return;
    box.textContent = text;
    box.hidden = !text;
  };
  document.addEventListener("htmx:before:request", () => trouble(""));
  document.addEventListener("htmx:error", () =>
    trouble("The connection was cut, so nothing is certain to be saved. Press the same key again: it counts once."));
  document.addEventListener("htmx:after:swap", () => {
    arrivedAt = performance.now();
    const arrived = document.querySelector("[data-says]");
    if (arrived) say(arrived.dataset.says);
    const title = document.querySelector("[data-title]");
    if (title) document.title = title.dataset.title;
    window.scrollTo({ top: 0 });
  });

  // A heartbeat renews the lease while somebody is really there: it goes out only after a key, a click or a scroll.
  let stirred = false;
  for (const kind of ["keydown", "pointerdown", "scroll"]) {
    addEventListener(kind, () => { stirred = true; }, { passive: true });
  }
  setInterval(async () => {
    const form = document.getElementById("heartbeat");
    if (!stirred || !form || document.hidden) return;
    stirred = false;
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) })
      .catch(() => null);
    if (answer && !answer.ok) trouble("Your lease ran out and somebody else has this case now. Take the next one.");
  }, 60_000);
})();
