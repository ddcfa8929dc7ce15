// Keys for the review pages, and what htmx does not do: say aloud what happened, and tell when nothing was saved.
// Every action is a real button or link carrying data-key, so the page works the same without this file.

(() => {
  const STORE = "journey-insight.keys";
  const UNREAD_MILLISECONDS = 300;
  let arrivedAt = -Infinity;
  let ahead = "";
  let preview = null;
  const keysOn = () => localStorage.getItem(STORE) !== "off";
  const typing = (element) =>
    element.closest("textarea, select, [contenteditable]") ||
    (element.matches("input") && !["checkbox", "radio"].includes(element.type));
  const find = (key) => document.querySelector(`[data-key="${CSS.escape(key)}"]:not([disabled])`);
  const say = (text) => { document.getElementById("live").textContent = text; };

  // While the emotions are open, letters are theirs; the intensity has two keys always.
  function mood(key) {
    const step = { "-": -1, "−": -1, "+": 1, "=": 1 }[key];
    const panel = document.querySelector("details.more");
    if (!panel) return false;
    if (step) {
      const all = [...panel.querySelectorAll('[name="intensity"]')];
      const at = all.findIndex((one) => one.checked);
      const chosen = all[Math.max(0, Math.min(all.length - 1, (at < 0 ? (all.length - 1) / 2 : at) + step))];
      panel.open = true;
      chosen.checked = true;
      say(`Intensity ${chosen.value}`);
      return true;
    }
    if (!panel.open) return false;
    if (key === "Escape") {
      panel.open = false;
      document.getElementById("words").focus();
      return true;
    }
    const box = panel.querySelector(`[data-mood="${CSS.escape(key)}"]`);
    if (!box) return false;
    box.checked = !box.checked;
    say(`${box.value} ${box.checked ? "on" : "off"}`);
    return true;
  }

  function press(key) {
    if (mood(key)) return true;
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
    if (performance.now() - arrivedAt < UNREAD_MILLISECONDS || preview) return;
    if (!event.repeat && press(event.key)) event.preventDefault();
  });

  // A menu closes when something else is chosen, and by Escape.
  const closeMenus = (but) => document.querySelectorAll("details.menu[open]").forEach((menu) => {
    if (menu !== but) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  document.addEventListener("click", (event) => {
    closeMenus(event.target.closest("details.menu"));
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
  document.addEventListener("htmx:error", () => {
    if (endPreview()) document.getElementById("words")?.focus();
    trouble("The connection was cut, so nothing is certain to be saved. Press the same key again: it counts once.");
  });

  // The words of the next case are fetched ahead and shown while a verdict is on its way. The case that was answered is
  // only hidden until the answer is there, so that it comes back as it was where the connection is cut.
  async function fetchAhead() {
    ahead = "";
    if (!document.querySelector("#case .answering")) return;
    const answer = await fetch(`/reviews/case/ahead${location.search}`).catch(() => null);
    if (answer?.status === 200 && !answer.redirected) ahead = await answer.text();
  }
  function endPreview() {
    if (!preview) return false;
    preview.remove();
    preview = null;
    document.getElementById("case").hidden = false;
    return true;
  }
  // The words that moved the model are marked as soon as they are known: that takes a moment which nobody waits for.
  async function fetchMarks() {
    const words = document.querySelector("#case [data-marks]");
    if (!words) return;
    const answer = await fetch(words.dataset.marks).catch(() => null);
    const marked = answer?.status === 200 && !answer.redirected ? await answer.text() : "";
    const arrived = document.createElement("blockquote");
    arrived.innerHTML = marked;
    if (!words.isConnected || arrived.textContent.trim() !== words.textContent.trim()) return;
    words.innerHTML = marked;
    const legend = document.getElementById("marks-legend");
    if (legend) legend.hidden = !words.querySelector("mark");
  }
  document.addEventListener("submit", (event) => {
    if (!ahead || preview || !event.target.matches("#case .answering, #case .passing")) return;
    preview = document.createElement("div");
    preview.innerHTML = ahead;
    const current = document.getElementById("case");
    current.after(preview);
    current.hidden = true;
    preview.querySelector(".words").focus();
    arrivedAt = performance.now();
    window.scrollTo({ top: 0 });
  });
  fetchMarks();
  fetchAhead();

  document.addEventListener("htmx:after:swap", () => {
    const previewed = preview?.querySelector("blockquote").textContent.trim();
    if (endPreview()) document.querySelector("#case [autofocus]")?.focus();
    // Who has read the words already need not wait; another case than the one shown ahead must be read first.
    if (previewed !== document.querySelector("#words blockquote")?.textContent.trim()) arrivedAt = performance.now();
    fetchMarks();
    fetchAhead();
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
