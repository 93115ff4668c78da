/** Debian's Chromium. What a page says that it should not is gathered: errors, and requests to other hosts. */

import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

export function launch(args: string[] = []): Promise<Browser> {
  // Chromium's sandbox does not run as root, which containers are.
  return chromium.launch({ executablePath: CHROMIUM, chromiumSandbox: process.getuid?.() !== 0, args });
}

export interface Opened {
  readonly page: Page;
  /** Errors and violations of the content policy. */
  readonly complaints: string[];
  /** Requests to any other place than the broker. */
  readonly strangers: string[];
}

export async function openPage(context: BrowserContext, address: string): Promise<Opened> {
  const page = await context.newPage();
  const complaints: string[] = [];
  const strangers: string[] = [];
  const host = new URL(address).host;
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "blob:" && url.host !== host) strangers.push(request.url());
  });
  await page.goto(address);
  return { page, complaints, strangers };
}
