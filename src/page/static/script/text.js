// Numbers, times and names as text.

const numbers = new Intl.NumberFormat("en");

/** `1 request`, `2 requests`. */
const count = (n, unit) => `${numbers.format(n)} ${n === 1 ? unit : `${unit}s`}`;

/** Bytes in decimal units: `340 B`, `1.2 kB`, `35 MB`. */
function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1000;
    unit += 1;
  }
  return `${unit === 0 || n >= 99.5 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

/** A duration in its two largest units. */
function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return count(Math.floor(s / 86400), "day");
}

/** A time in the past, relative to now. */
function ago(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 10) return "just now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${count(Math.floor(s / 86400), "day")} ago`;
}

const absolute = (at) => new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });

/** A device's name without the domain that it shares with this node. */
function shortName(name) {
  const own = sections.health?.node.name ?? "";
  const domain = own.includes(".") ? own.slice(own.indexOf(".")) : "";
  return domain && name.endsWith(domain) ? name.slice(0, -domain.length) : name;
}

/** The name of one of the node's ports. */
function portName(port) {
  const ports = sections.health?.ports ?? {};
  return Object.keys(ports).find((name) => ports[name] === port) ?? `port ${port}`;
}
