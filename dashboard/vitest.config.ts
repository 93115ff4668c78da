import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { alias: { mqtt: "mqtt/dist/mqtt.esm" } }, // what browsers get, not what Node would
  test: { include: ["tests/**/*.test.{ts,tsx}"], restoreMocks: true },
});
