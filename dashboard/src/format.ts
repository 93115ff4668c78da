/** Numbers, sizes and times as people read them. */

const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

export function formatCount(value: number): string {
  return WHOLE.format(Math.round(value));
}

/** At most four digits: 950, 12.3k, 4.5M. */
export function formatShort(value: number): string {
  const size = Math.abs(value);
  if (size >= 999_950) return `${SHORT.format(value / 1e6)}M`;
  if (size >= 9_995) return `${SHORT.format(value / 1e3)}k`;
  if (size >= 99.5 || Number.isInteger(value)) return WHOLE.format(Math.round(value));
  return SHORT.format(value);
}

/** A number of times a second, as people say it: `12/s`, `6/min`, `2/h`. */
export function formatRate(perSecond: number): string {
  if (perSecond >= 0.95 || perSecond === 0) return `${formatShort(perSecond)}/s`;
  const perMinute = perSecond * 60;
  if (perMinute >= 0.95) return `${Math.round(perMinute)}/min`;
  return `${Math.round(perMinute * 60)}/h`;
}

export function formatBytes(value: number): string {
  let unit = 0;
  let size = value;
  while (size >= 1023.5 && unit < SIZES.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${unit === 0 || size >= 99.95 ? WHOLE.format(Math.round(size)) : SHORT.format(size)} ${SIZES[unit]}`;
}

/** A number of seconds: `45 s`, `3 min`, `2 h 5 min`, `4 d 3 h`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 ? `${days} d` : `${days} d ${hours % 24} h`;
}

/** A time that is short: `0.4 ms`, `35 ms`, `3 min`. */
export function formatLatency(ms: number): string {
  if (ms >= 999.5) return formatDuration(ms / 1000);
  return ms < 9.95 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** How long ago: `now`, `12 s`, `3 min`. */
export function formatAge(at: number, now: number): string {
  const seconds = (now - at) / 1000;
  return seconds < 1.5 ? "now" : formatDuration(seconds);
}

/** The time of day, with tenths of a second where the message came today. */
export function formatTime(at: number, now: number): string {
  const time = new Date(at);
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
  if (new Date(now).toDateString() === time.toDateString()) return `${clock}.${Math.floor(time.getMilliseconds() / 100)}`;
  return `${time.getFullYear()}-${String(time.getMonth() + 1).padStart(2, "0")}-${String(time.getDate()).padStart(2, "0")} ${clock}`;
}

/** A time of the API (RFC 3339) for people. */
export function formatMoment(text: string, now: number): string {
  const at = Date.parse(text);
  return Number.isNaN(at) ? text : formatTime(at, now);
}

/** One and many: `1 topic`, `2 topics`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}
