// Opens pages in Chromium and says, as one line of JSON each, what it found. Arguments: the browser, then the pages.
"use strict";
const { chromium } = require("playwright-core");
const axe = require("axe-core");
const { pathToFileURL } = require("node:url");

const WIDTHS = [1280, 700, 390];
const THEMES = ["light", "dark"];

async function opened(browser, file, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const heard = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) heard.push(message.text()); });
  page.on("pageerror", (error) => heard.push(String(error)));
  const asked = [];
  page.on("request", (request) => { if (!/^(file|data):/.test(request.url())) asked.push(request.url()); });
  await page.goto(pathToFileURL(file).href);
  return { context, page, heard, asked };
}

async function look(browser, file, width, theme) {
  const { context, page, heard, asked } = await opened(browser, file, { viewport: { width, height: 900 }, colorScheme: theme });
  const found = await page.evaluate(() => ({
    title: document.title,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    background: getComputedStyle(document.body).backgroundColor,
    elements: Object.fromEntries(["h1", ".verdict b", ".strip", "table.sorts", "svg[role=img]", "svg.interval", ".toc a", "details", "table.matrix", "table.stack", "table.facts"]
      .map((selector) => [selector, document.querySelectorAll(selector).length])),
    beyond: [...document.querySelectorAll("td, th, svg.interval, dd")].filter((one) => {
      const box = one.getBoundingClientRect();
      return box.width > 0 && box.right > innerWidth + 1 && !one.closest(".scroll") && getComputedStyle(one).position !== "absolute" && !one.closest("thead");
    }).length,
  }));
  for (const fold of await page.$$("details")) await fold.evaluate((one) => { one.open = true; });
  await page.evaluate(axe.source);
  const audit = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  found.violations = audit.violations.filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
  found.overflowOpen = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await context.close();
  return { file, width, theme, heard, asked, ...found };
}

// Sorts the first table by its second column with the keyboard alone.
async function sorted(browser, file) {
  const { context, page } = await opened(browser, file, { viewport: { width: 1280, height: 900 } });
  const table = page.locator("table.sorts").first();
  const heads = () => table.evaluate((one) => [...one.tHead.rows[0].cells].map((head) => head.getAttribute("aria-sort")));
  const column = () => table.evaluate((one) => [...one.tBodies[0].rows].map((row) => row.cells[1].textContent.trim()));
  const before = await column();
  await table.locator("th button").first().focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const up = { heads: await heads(), column: await column() };
  await page.keyboard.press("Enter");
  const down = { heads: await heads(), column: await column() };
  await context.close();
  return { before, up, down };
}

async function withoutScript(browser, file) {
  const { context, page, heard } = await opened(browser, file, { javaScriptEnabled: false });
  const found = { rows: await page.locator("tbody tr").count(), buttons: await page.locator("th button").count(), heard };
  await context.close();
  return found;
}

// What is printed of a page that a reader sees dark and folded.
async function printed(browser, file) {
  const { context, page } = await opened(browser, file, { colorScheme: "dark" });
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  const found = await page.evaluate(() => ({
    background: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
    hidden: [...document.querySelectorAll("details > :not(summary)")].filter((one) => !one.checkVisibility({ contentVisibilityAuto: true })).length,
    folds: document.querySelectorAll("details").length,
  }));
  await context.close();
  return found;
}

(async () => {
  const [executable, ...files] = process.argv.slice(2);
  const browser = await chromium.launch({ executablePath: executable, args: ["--no-sandbox"] });
  for (const file of files)
    for (const width of WIDTHS)
      for (const theme of THEMES) console.log(JSON.stringify(await look(browser, file, width, theme)));
  console.log(JSON.stringify({ sorted: await sorted(browser, files[0]), withoutScript: await withoutScript(browser, files[0]), printed: await printed(browser, files[0]) }));
  await browser.close();
})().catch((error) => { console.error(error); process.exit(1); });
