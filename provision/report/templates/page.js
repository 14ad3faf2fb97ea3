(() => {
  "use strict";
  const all = (selector) => [...document.querySelectorAll(selector)];
  const status = document.getElementById("status");

  // Copy by the clipboard where the browser allows it to a file, else by the old command;
  // where both fail, the text stays selected.
  const select = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  };
  const copy = async (node) => {
    try {
      await navigator.clipboard.writeText(node.textContent);
      return true;
    } catch {
      select(node);
      try { return document.execCommand("copy"); } catch { return false; }
    }
  };
  for (const node of all("pre, .copyable")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy " + (node.getAttribute("aria-label") || "this text"));
    button.addEventListener("click", async () => {
      const done = await copy(node);
      button.textContent = done ? "Copied" : "Selected";
      status.textContent = done ? "Copied" : "Selected: press Ctrl+C";
      setTimeout(() => { button.textContent = "Copy"; status.textContent = ""; }, 2000);
    });
    node.after(button);
  }

  // The filter of the checks is hidden where scripts do not run.
  const filter = document.getElementById("filter");
  if (filter) {
    const passed = document.getElementById("passed-list");
    const rows = all(".checks tbody tr").map((row) => [row, row.textContent.toLowerCase()]);
    const buttons = all("#filter button[aria-pressed]");
    const words = document.getElementById("words");
    const count = document.getElementById("count");
    const apply = () => {
      const pressed = buttons.filter((button) => button.getAttribute("aria-pressed") === "true");
      const outcomes = pressed.map((button) => button.value);
      const query = words.value.trim().toLowerCase();
      let shown = 0;
      for (const [row, text] of rows) {
        const isChosen = outcomes.length === 0 || outcomes.includes(row.dataset.outcome);
        row.hidden = !isChosen || !text.includes(query);
        shown += row.hidden ? 0 : 1;
      }
      // What is looked for must not stay folded.
      if (passed && (outcomes.length > 0 || query)) passed.open = true;
      count.textContent = shown + " of " + rows.length + " checks shown";
    };
    for (const button of buttons) {
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
        apply();
      });
    }
    words.addEventListener("input", apply);
    filter.addEventListener("submit", (event) => event.preventDefault());
    filter.addEventListener("reset", () => {
      for (const button of buttons) button.setAttribute("aria-pressed", "false");
      setTimeout(apply);
    });
    filter.hidden = false;
    apply();
  }

  // On a phone the page begins with what matters, and folds the rest.
  if (matchMedia("(max-width: 46rem)").matches) {
    for (const details of all("details.fold, details.device")) details.open = false;
  }

  // A link to a folded check opens its list.
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    const folded = target?.closest("details") ?? target?.querySelector(":scope > details");
    if (folded) folded.open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();
})();
