import { describe, expect, test } from "vitest";
import { base64OfBytes, bytesOfBase64, bytesOfHex, hexLines } from "../src/payload/hex";
import { examine, imageType, jsonOf, oneLine, textOf } from "../src/payload/kinds";
import { faultOfFilter, faultOfTopic, matches } from "../src/topics/filter";
import { describePath, numberAt, numberIn } from "../src/topics/numbers";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("a payload is shown as what it is", () => {
  test.each([
    ["21.5", "text"],
    ['{"a": 1}', "json"],
    [' [1, 2]\n', "json"],
    ["{not json", "text"],
    ["<svg xmlns='http://www.w3.org/2000/svg'/>", "image"],
    ['<?xml version="1.0"?><svg/>', "image"],
    ["", "text"],
    ["Grüße", "text"],
    ["\x00\x01", "hex"],
  ])("%j is %s", (text, view) => expect(examine(bytes(text)).best).toBe(view));

  test("images are known by their first bytes", () => {
    expect(imageType(new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]))).toBe("image/png");
    expect(imageType(new Uint8Array([0xff, 0xd8, 0xff, 0xe0]))).toBe("image/jpeg");
    expect(imageType(bytes("RIFF1234WEBP"))).toBe("image/webp");
    expect(imageType(bytes("BM is a text"))).toBeNull();
  });

  test("what is not UTF-8 is no text", () => expect(textOf(new Uint8Array([0xff, 0xfe]))).toBeNull());
  test("a single number is no JSON tree", () => expect(jsonOf(bytes("5"))).toBeUndefined());
});

describe("one line of a list", () => {
  test("has no line ends", () => expect(oneLine(bytes("a\n  b"), 5)).toBe("a b"));
  test("says that it is cut", () => expect(oneLine(bytes("abc"), 10)).toBe("abc…"));
  test("is not broken by a character that is cut through", () => {
    const whole = bytes("aé");
    expect(oneLine(whole.subarray(0, 2), 3)).toBe("a…");
  });
  test("is hex for bytes", () => expect(oneLine(new Uint8Array([0, 255]), 2)).toBe("00 ff"));
});

describe("numbers", () => {
  test.each([
    ["21.5", 21.5],
    ["-3", -3],
    [" 7\n", 7],
    ["1e3", 1000],
    [".5", 0.5],
    ["0x10", NaN],
    ["1 2", NaN],
    ["", NaN],
    ["on", NaN],
    ["12:30", NaN],
  ])("%j is %d", (text, value) => expect(numberIn(bytes(text))).toEqual(value));

  test("are found in JSON by their place", () => {
    const value = { rooms: [{ "temp in": 20.5, on: true, text: "5" }] };
    expect(numberAt(value, ["rooms", 0, "temp in"])).toBe(20.5);
    expect(numberAt(value, ["rooms", 0, "on"])).toBe(1);
    expect(numberAt(value, ["rooms", 0, "text"])).toBe(5);
    expect(numberAt(value, ["rooms", 1])).toBeNaN();
    expect(numberAt(value, ["constructor"])).toBeNaN();
    expect(describePath(["rooms", 0, "temp in"])).toBe('rooms[0]["temp in"]');
    expect(describePath(["a", "b"])).toBe("a.b");
  });
});

describe("hex and Base64", () => {
  test("lines have offset, bytes and text", () =>
    expect(hexLines(bytes("Hello, World! 123"), 5)).toEqual([
      { offset: "000000", bytes: "48 65 6c 6c 6f 2c 20 57 6f 72 6c 64 21 20 31 32", text: "Hello, World! 12" },
      { offset: "000010", bytes: "33", text: "3" },
    ]));
  test("are read as people write them", () => {
    expect(bytesOfHex("0x0a FF:10")).toEqual(new Uint8Array([10, 255, 16]));
    expect(bytesOfHex("abc")).toBeNull();
    expect(bytesOfHex("zz")).toBeNull();
    expect(bytesOfBase64("AP8=")).toEqual(new Uint8Array([0, 255]));
    expect(bytesOfBase64("?")).toBeNull();
    expect(base64OfBytes(new Uint8Array([0, 255]))).toBe("AP8=");
  });
});

describe("filters", () => {
  test.each([
    ["a/#", "a", true],
    ["a/#", "a/b/c", true],
    ["a/+", "a/b", true],
    ["a/+", "a", false],
    ["+/b", "a/b", true],
    ["#", "$SYS/x", false],
    ["$SYS/#", "$SYS/x", true],
    ["a", "a/b", false],
  ])("%s against %s: %s", (filter, topic, result) => expect(matches(filter.split("/"), topic)).toBe(result));

  test("have their faults said", () => {
    expect(faultOfFilter("a/#/b")).toContain("#");
    expect(faultOfFilter("a+")).toContain("+");
    expect(faultOfFilter("a/+/#")).toBeNull();
    expect(faultOfTopic("a/+")).not.toBeNull();
    expect(faultOfTopic("a/b")).toBeNull();
  });
});
