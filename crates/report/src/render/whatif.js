(() => {
  const dial = document.getElementById("dial");
  const range = document.getElementById("dial-range");
  const rows = [...dial.querySelectorAll("tr[data-time]")];
  const digits = (x) => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2));
  const time = (ns) => (ns < 1e3 ? digits(ns) + " ns" : digits(ns / 1e3) + " µs");
  // The range counts tenths of a power of ten: 10 ns to 100 µs.
  const move = () => {
    const cost = 10 ** (range.value / 10);
    let small = 0;
    for (const row of rows) {
      const { time: alone, crossings, copies } = row.dataset;
      const share = (crossings * cost + +copies) / alone;
      small += share <= 0.1;
      row.cells[1].textContent = digits(share * 100) + " %";
      row.cells[1].className = share <= 0.01 ? "good" : share <= 0.1 ? "" : "hurt";
      row.querySelector("span").style.width = 100 * (1 - 1 / (1 + share)) + "%";
    }
    document.getElementById("dial-cost").textContent = time(cost);
    document.getElementById("dial-words").textContent =
      small + " of " + rows.length + " programs take at most 10 % longer. Bars: the share of its time that a program spends at boundaries.";
  };
  range.addEventListener("input", move);
  dial.hidden = false;
  move();
})();
