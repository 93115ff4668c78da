/** The icons, drawn on a field of 24. */

const PATHS = {
  pulse: "M3 12h4l3-8 4 16 3-8h4",
  tree: "M5 4v14a2 2 0 0 0 2 2h3M5 9h5M14 9h6M14 20h6M5 4h6",
  send: "M4 12 20 4l-6 16-3-7-7-1Z",
  devices: "M4 5h12v9H4zM2 18h10M17 10h4v9h-4z",
  plug: "M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0V8ZM12 17v4",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M5 19l1.4-1.4M17.6 6.4 19 5",
  moon: "M20 14A8.5 8.5 0 0 1 10 4a8.5 8.5 0 1 0 10 10Z",
  close: "M6 6l12 12M18 6 6 18",
  pause: "M8 5v14M16 5v14",
  play: "M7 4l13 8-13 8V4Z",
  pin: "M9 3h6l-1 6 4 4H6l4-4-1-6ZM12 13v8",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l2 2H4l2-2ZM10 21h4",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  chevron: "M9 6l6 6-6 6",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM16 16l5 5",
  back: "M15 6l-6 6 6 6",
  chart: "M4 4v16h16M8 15l4-5 3 3 5-7",
  refresh: "M20 12a8 8 0 1 1-2.3-5.7M20 3v5h-5",
  download: "M12 4v11M7 11l5 5 5-5M4 20h16",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
