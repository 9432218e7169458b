// On paper: every row of the timeline in light colours, whatever the window shows.

const MOST_PAPER = 12000;

function startPrinting() {
  let theme = "light";
  addEventListener("beforeprint", () => {
    theme = document.documentElement.dataset.theme;
    turnTheme.set("light");
    Object.assign(line, { printing: true, height: Math.min(MOST_PAPER, headHeight() + line.rowsHeight) });
    paint();
  });
  addEventListener("afterprint", () => {
    line.printing = false;
    turnTheme.set(theme);
    layout();
    drawTimeline();
  });
}
