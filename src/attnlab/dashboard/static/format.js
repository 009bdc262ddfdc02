// Numbers as people read them.

const grouped = new Intl.NumberFormat("en");

export function number(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return value === null || value === undefined ? "–" : String(value);
  if (Number.isInteger(value)) return grouped.format(value);
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(3) : size >= 100 ? value.toFixed(2) : value.toPrecision(4);
}

/** Four digits, and the uncertainty to the same place: 0.2278 ± 0.0031. */
export function spread({ mean, half_width: half, count }) {
  if (half === null) return `${number(mean)} (${count})`;
  const digits = half > 0 ? Math.min(8, Math.max(0, 1 - Math.floor(Math.log10(half)))) : 4;
  return `${mean.toFixed(digits)} ± ${half.toFixed(digits)} (${count})`;
}

export function duration(seconds) {
  if (typeof seconds !== "number") return "–";
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value) => String(value).padStart(2, "0");
  if (hours) return `${hours}:${two(minutes)}:${two(rest)}`;
  return minutes ? `${minutes}:${two(rest)}` : seconds < 10 ? `${seconds.toFixed(1)} s` : `${whole} s`;
}

export function bytes(value) {
  if (typeof value !== "number") return "–";
  const mebibytes = value / 2 ** 20;
  return mebibytes < 1024 ? `${mebibytes.toFixed(0)} MiB` : `${(mebibytes / 1024).toFixed(1)} GiB`;
}

export function when(text) {
  if (!text) return "–";
  return new Date(text).toLocaleString("sv", { dateStyle: "short", timeStyle: "short" });
}

/** Names of runs without the time that they begin with, where that leaves them apart: id → name. */
export function shortNames(ids) {
  const short = ids.map((id) => id.replace(/^\d{8}-\d{6}_/, ""));
  return new Map(ids.map((id, place) => [id, new Set(short).size === ids.length ? short[place] : id]));
}
