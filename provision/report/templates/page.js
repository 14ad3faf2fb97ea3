(() => {
  "use strict";
  const all = (selector) => [...document.querySelectorAll(selector)];
  const said = document.getElementById("said");

  // Copying: the clipboard where the browser lets a file have it, else the old way, else the text is left selected.
  const select = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  };
  const copied = async (node) => {
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
      const done = await copied(node);
      button.textContent = done ? "Copied" : "Selected";
      said.textContent = done ? "Copied" : "Selected: press Ctrl+C";
      setTimeout(() => { button.textContent = "Copy"; said.textContent = ""; }, 2000);
    });
    node.after(button);
  }

  // The filter of the checks; it is hidden where there is no script.
  const filter = document.getElementById("filter");
  if (filter) {
    const rows = all("#checks-table tbody tr").map((row) => [row, row.textContent.toLowerCase()]);
    const buttons = all("#filter button[aria-pressed]");
    const words = document.getElementById("words");
    const count = document.getElementById("count");
    const apply = () => {
      const wanted = buttons.filter((one) => one.getAttribute("aria-pressed") === "true").map((one) => one.value);
      const sought = words.value.trim().toLowerCase();
      let shown = 0;
      for (const [row, text] of rows) {
        row.hidden = (wanted.length > 0 && !wanted.includes(row.dataset.outcome)) || !text.includes(sought);
        shown += row.hidden ? 0 : 1;
      }
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

  // On paper everything but the evidence is open.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open]):not(.evidence)");
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of closed) one.open = false; });
})();
