// For tests of dashboards and alerts: which metrics a PromQL expression reads.

/** Names of metrics in an expression, without the suffixes a histogram's series have. */
export function metricsIn(expression: string, histograms: ReadonlySet<string>): Set<string> {
  const bare = expression
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, "")
    .replaceAll(/\{[^}]*\}/g, "")
    .replaceAll(/\[[^\]]*\]/g, "")
    .replaceAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, "");
  const names = new Set<string>();
  for (const match of bare.matchAll(/[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\(|[a-zA-Z0-9_:])/g)) {
    const name = match[0];
    if (operators.has(name)) continue;
    const base = name.replace(/_(?:bucket|sum|count)$/, "");
    names.add(histograms.has(base) ? base : name);
  }
  return names;
}

const operators = new Set(["and", "or", "unless", "bool", "offset"]);
