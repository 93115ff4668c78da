/** Light and dark: the system's wish, unless the user has another. */

import { computed, effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const SAVED = "telex.theme";
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const system = signal(systemIsDark.matches);
systemIsDark.addEventListener("change", (event) => (system.value = event.matches));

const saved = localStorage.getItem(SAVED);
export const theme = signal<Theme>(saved === "light" || saved === "dark" ? saved : "system");
export const isDark = computed(() => (theme.value === "system" ? system.value : theme.value === "dark"));

effect(() => {
  document.documentElement.dataset["theme"] = isDark.value ? "dark" : "light";
  localStorage.setItem(SAVED, theme.value);
});

export function toggleTheme(): void {
  const wanted = isDark.value ? "light" : "dark";
  // Back to what the system says anyway is no wish of one's own.
  theme.value = (wanted === "dark") === system.value ? "system" : wanted;
}
