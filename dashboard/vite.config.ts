/** How the page is built: into the Python package, with nothing inline, so that a strict content policy holds. */
import { defineConfig } from "vite";

const BROKER = process.env["BROKER_HTTP"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "./", // a proxy may put the page under any path
  build: {
    outDir: "../src/telex/server/web/static",
    emptyOutDir: true,
    assetsInlineLimit: 0, // no data: addresses
    modulePreload: { polyfill: false },
    target: "es2022",
    rolldownOptions: {
      input: { index: "index.html", sw: "src/sw.ts" },
      output: {
        // The service worker's address is its scope, and stays the same.
        entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
        // Two thirds of all code is mqtt.js, which changes seldom: a browser keeps it from one Telex to the next.
        codeSplitting: { groups: [{ name: "mqtt", test: /node_modules[\\/]mqtt/ }, { name: "libraries", test: /node_modules/ }] },
      },
    },
  },
  server: {
    host: "127.0.0.1",
    proxy: { "/api": BROKER, "/mqtt": { target: BROKER.replace(/^http/, "ws"), ws: true } },
  },
});
