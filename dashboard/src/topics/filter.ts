/** Topic filters and names (MQTT 5, section 4.7). */

/** What is wrong with a filter, in words; null: nothing. */
export function faultOfFilter(filter: string): string | null {
  if (filter === "") return "A filter has at least one character.";
  if (filter.includes("\0")) return "A filter has no zero character.";
  const levels = filter.split("/");
  for (const [i, level] of levels.entries()) {
    if (level.includes("#") && (level !== "#" || i < levels.length - 1)) return "# stands alone in the last level.";
    if (level.includes("+") && level !== "+") return "+ stands alone in its level.";
  }
  return null;
}

/** What is wrong with a topic to publish to, in words; null: nothing. */
export function faultOfTopic(topic: string): string | null {
  if (topic === "") return "A topic has at least one character.";
  if (topic.includes("\0")) return "A topic has no zero character.";
  if (/[+#]/.test(topic)) return "A topic to publish to has no + and no #.";
  if (new TextEncoder().encode(topic).length > 65_535) return "A topic has at most 65,535 bytes.";
  return null;
}

/** Whether a topic is one that a filter means. Wildcards do not begin to match at `$` [MQTT-4.7.2-1]. */
export function matches(filter: readonly string[], topic: string): boolean {
  const levels = topic.split("/");
  if (topic.startsWith("$") && (filter[0] === "+" || filter[0] === "#")) return false;
  for (let i = 0; i < filter.length; i++) {
    if (filter[i] === "#") return true;
    if (i >= levels.length) return false;
    if (filter[i] !== "+" && filter[i] !== levels[i]) return false;
  }
  return levels.length === filter.length;
}

/** What a search means: a filter where it has wildcards as levels, otherwise a text anywhere, in small or large letters. */
export function search(query: string): ((topic: string) => boolean) | null {
  const wanted = query.trim();
  if (wanted === "") return null;
  const levels = wanted.split("/");
  if (levels.some((level) => level === "+" || level === "#") && faultOfFilter(wanted) === null) {
    return (topic) => matches(levels, topic);
  }
  const text = wanted.toLowerCase();
  return (topic) => topic.toLowerCase().includes(text);
}
