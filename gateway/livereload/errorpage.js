// The page's own: copying the traceback.
(() => {
  const button = document.getElementById("copy");
  if (!button || !navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("traceback").textContent);
    button.textContent = "Copied";
  });
})();
