// What the tests of the report ask a page for.
({
  // Contrast of each text with the ground behind it, as in WCAG 2.1.
  contrasts() {
    const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
    const bent = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    const light = (colour) => {
      const [r, g, b] = numbers(colour).map((x) => bent(x / 255));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const colour = getComputedStyle(at).backgroundColor;
        if (numbers(colour)[3] !== 0) return colour;
      }
      return "rgb(255, 255, 255)";
    };
    const wordy = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    return [...document.body.querySelectorAll("*:not(script)")].filter(wordy).map((element) => {
      const style = getComputedStyle(element);
      const shades = [light(element.closest("svg") ? style.fill : style.color), light(ground(element))];
      return [(Math.max(...shades) + 0.05) / (Math.min(...shades) + 0.05), element.textContent];
    });
  },

  // Boxes on the screen (left, top, right, bottom) of a figure, of what is around it, and of each mark in it.
  marks(chart) {
    const box = (element) => {
      const { left, top, right, bottom } = element.getBoundingClientRect();
      return [left, top, right, bottom];
    };
    const seen = (mark) => [getComputedStyle(mark).stroke, getComputedStyle(mark).fill].some((paint) => paint !== "none");
    const marks = [...chart.querySelectorAll("path, use, text")];
    const drawn = marks.filter((mark) => !mark.closest("defs, clipPath") && seen(mark));
    const strokes = drawn.map((mark) => getComputedStyle(mark).stroke);
    return { figure: box(chart), around: box(chart.parentElement), marks: drawn.map(box), strokes };
  },

  // Words of cells that are set in more lines than one for each three letters.
  cramped() {
    return [...document.querySelectorAll("th, td")].flatMap((cell) => {
      const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
      const boxes = [];
      const range = document.createRange();
      while (texts.nextNode()) {
        range.selectNode(texts.currentNode);
        boxes.push(...range.getClientRects());
      }
      const lines = new Set(boxes.map((box) => Math.round(box.bottom))).size;
      const words = cell.textContent.trim();
      return words.length > 3 && words.length < 3 * lines ? [words] : [];
    });
  },

  // Height of the letters of figures in pixels of the screen.
  letters() {
    return [...document.querySelectorAll(".chart text")].map((word) => {
      const { a, b } = word.getScreenCTM();
      return parseFloat(getComputedStyle(word).fontSize) * Math.hypot(a, b);
    });
  },

  // Contrast of the words of the page with each tint of a figure.
  tints(chart) {
    const numbers = (colour) => colour.match(/[\d.]+/g).map(Number).slice(0, 3);
    const bent = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * bent(r / 255) + 0.7152 * bent(g / 255) + 0.0722 * bent(b / 255);
    const { backgroundColor, color } = getComputedStyle(document.body);
    const paper = numbers(backgroundColor);
    const tinted = [...chart.querySelectorAll("path")].map((path) => getComputedStyle(path)).filter((style) => style.fill !== "none");
    return tinted.filter((style) => style.opacity < 1).map(({ fill, opacity }) => {
      const shades = [light(numbers(color)), light(numbers(fill).map((x, i) => opacity * x + (1 - opacity) * paper[i]))];
      return (Math.max(...shades) + 0.05) / (Math.min(...shades) + 0.05);
    });
  },
});
