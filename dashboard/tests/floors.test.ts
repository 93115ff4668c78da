/** Who may know whom, and what the content policy wants of the sources. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";

const SOURCES = join(__dirname, "..", "src");

interface Source {
  readonly name: string;
  readonly text: string;
  /** Files of ours by their names, libraries by theirs. */
  readonly imports: readonly string[];
}

const sources: readonly Source[] = (readdirSync(SOURCES, { recursive: true }) as string[])
  .filter((name) => /\.tsx?$/.test(name))
  .map((name) => {
    const text = readFileSync(join(SOURCES, name), "utf8");
    const imports = [...text.matchAll(/^(?:import|export) (?:[^"]* from )?"([^"]+)"/gms)].map(([, found]) =>
      found.startsWith(".") ? relative(SOURCES, join(SOURCES, dirname(name), found)) : found,
    );
    return { name, text, imports };
  });

const of = (folder: string): readonly Source[] => sources.filter(({ name }) => name.startsWith(`${folder}/`));

describe("a floor knows only what is below it", () => {
  test("what topics and payloads are knows no screen, no connection and no library", () => {
    for (const { name, imports } of [...of("topics"), ...of("payload")].filter(({ name }) => name !== "topics/watch.ts")) {
      for (const each of imports) expect(each, name).toMatch(/^(topics|payload)\//);
    }
  });

  test("the API and the link know no view and no topic", () => {
    for (const { name, imports } of [...of("api"), ...of("link")]) {
      for (const each of imports) expect(each, name).toMatch(/^(api|link)\/|^mqtt$|^@preact\/signals$/);
    }
  });

  test("a view knows no other view, but for what is in its own folder", () => {
    for (const { name, imports } of of("views")) {
      const own = dirname(name);
      for (const each of imports.filter((each) => each.startsWith("views/"))) expect(each, name).toContain(`${own}/`);
    }
  });

  test("only the link knows mqtt.js, and only the chart uPlot", () => {
    const users = (library: string): string[] => sources.filter(({ imports }) => imports.includes(library)).map(({ name }) => name);
    expect(users("mqtt")).toEqual(["link/link.ts"]);
    expect(users("uplot")).toEqual(["parts/chart.tsx"]);
  });
});

describe("the sources", () => {
  test.each(sources.map(({ name }) => name))("%s begins with what it knows", (name) => {
    expect(sources.find((source) => source.name === name)?.text).toMatch(/^\/\*\*/);
  });

  test("write no HTML by hand, and no any", () => {
    for (const { name, text } of sources) {
      expect(text, name).not.toMatch(/innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/);
      expect(text, name).not.toMatch(/[:<]\s*any\b|\bas any\b|@ts-(ignore|expect-error)/);
    }
  });

  test("ask no other host", () => {
    for (const { name, text } of sources) {
      // Words and lines for devices may name addresses; nothing fetches them.
      expect(text.match(/(fetch|src=|href=)\W*["'`]https?:/g), name).toBeNull();
    }
  });

  test("have nothing inline in the page", () => {
    const page = readFileSync(join(SOURCES, "..", "index.html"), "utf8");
    expect(page).not.toMatch(/<style|style=|\son\w+=|<script(?![^>]*\ssrc=)/);
    expect(page).not.toMatch(/https?:\/\//);
  });
});
