for (const section of document.querySelectorAll(".comparison")) {
  const boxes = section.querySelectorAll("input[data-agent]");
  const show = (box) => section.classList.toggle("hide-" + box.dataset.agent, !box.checked);
  for (const box of boxes) {
    box.addEventListener("change", () => show(box));
    // A reloaded page keeps its boxes as they were.
    show(box);
  }
  for (const button of section.querySelectorAll("button[data-all]")) {
    button.addEventListener("click", () => {
      for (const box of boxes) {
        box.checked = Boolean(button.dataset.all);
        show(box);
      }
    });
  }
}
