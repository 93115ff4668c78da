/** What the README promises whoever types `make demo`. */

import { spawn, type ChildProcess } from "node:child_process";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch } from "./browser";

const PYTHON = process.env["E2E_PYTHON"] ?? "../.venv/bin/python";

let browser: Browser;
const programs: ChildProcess[] = [];

beforeAll(async () => void (browser = await launch()));
afterAll(async () => {
  await browser.close();
  await Promise.all(
    programs.map((program) => {
      const ended = new Promise((resolve) => program.once("exit", resolve));
      return program.exitCode === null && program.kill("SIGTERM") ? ended : null;
    }),
  );
});

/** Start a command, and wait until it says something; its groups are returned. */
function starts(command: readonly string[], says: RegExp): Promise<RegExpExecArray> {
  const program = spawn(PYTHON, ["-m", "telex", ...command], { stdio: ["ignore", "pipe", "pipe"] });
  programs.push(program);
  return new Promise((resolve, reject) => {
    let text = "";
    program.once("exit", (code) => reject(new Error(`telex ${command[0]} ended with ${String(code)}: ${text}`)));
    program.stderr?.on("data", (part: Buffer) => (text += part.toString()));
    program.stdout?.on("data", (part: Buffer) => {
      text += part.toString();
      const found = says.exec(text);
      if (found !== null) resolve(found);
    });
  });
}

test("a newcomer sees the temperatures of a house move, and takes part", async () => {
  const [, address, port] = await starts(
    ["demo", "--port", "0", "--http", "127.0.0.1:0"],
    /open in a browser (http\S+)[\s\S]*mqtt:\/\/127\.0\.0\.1:(\d+)/,
  );
  const page = await browser.newPage();
  await page.goto(address);
  const chart = page.getByRole("img", { name: /^Chart of [0-9]+ values/ });
  const kitchen = page.locator('[role=treeitem][title="home/temp/room2/kitchen"]');
  await kitchen.click({ timeout: 10_000 });
  await chart.waitFor({ timeout: 10_000 });
  const before = await chart.getAttribute("aria-label");
  await expect.poll(() => chart.getAttribute("aria-label"), { timeout: 10_000 }).not.toBe(before);

  const heard = starts(["sub", "-p", port, "-t", "home/temp/room2/kitchen", "-R", "-v"], /kitchen 42\n/);
  await page.getByRole("link", { name: "Publish here" }).or(page.getByRole("button", { name: "Publish here" })).click();
  await page.getByLabel("Payload", { exact: true }).fill("42");
  // `telex sub` may be on its way yet: the value is published until it has come.
  let hasCome = false;
  void heard.then(() => (hasCome = true));
  while (!hasCome) {
    await page.getByRole("button", { name: "Publish", exact: true }).click();
    await Promise.race([heard, page.waitForTimeout(200)]);
  }
  await heard;
});
