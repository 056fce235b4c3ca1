// What Material leaves out for people with a keyboard or a screen reader. It adds some of these parts late.
function mend() {
  document.querySelector(".md-search").setAttribute("aria-label", "Search");
  for (const wide of document.querySelectorAll("pre > code, .md-typeset__scrollwrap")) wide.tabIndex = 0;
  for (const buttons of document.querySelectorAll(".md-code__nav")) buttons.setAttribute("role", "none");
}
new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
mend();

// Of a terminal, only the commands are copied.
for (const code of document.querySelectorAll("pre > code")) {
  const commands = code.textContent.split("\n").filter((line) => line.startsWith("$ "));
  if (commands.length) code.dataset.copy = commands.map((line) => line.slice(2)).join("\n");
}
