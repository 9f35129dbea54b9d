// What Grafana does to a panel's frames before it draws them: transformations, then field configuration.

import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  Registry,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';

const { filterByValueTransformer, mergeTransformer, organizeFieldsTransformer } = standardTransformers;

standardTransformersRegistry.setInit(() =>
  [filterByValueTransformer, mergeTransformer, organizeFieldsTransformer].map((transformer) => ({
    id: transformer.id,
    name: transformer.name,
    transformation: () => transformer,
  }))
);

/** The properties that a panel sets, in the form in which Grafana registers those that it knows. */
function properties({ defaults, overrides }) {
  const { custom, ...standard } = defaults;
  const ids = new Set([
    ...Object.keys(standard),
    ...Object.keys(custom ?? {}).map((name) => `custom.${name}`),
    ...overrides.flatMap((override) => override.properties.map(({ id }) => id)),
  ]);
  return new Registry(() =>
    [...ids].map((id) => ({
      id,
      name: id,
      path: id.replace(/^custom\./, ''),
      isCustom: id.startsWith('custom.'),
      process: (value) => value,
      shouldApply: () => true,
    }))
  );
}

/** Grafana reads the base of a panel's thresholds, which is null in JSON, as minus infinity. */
function withBase(config) {
  return JSON.parse(JSON.stringify(config), (key, value) =>
    key === 'steps' ? value.map((step) => ({ ...step, value: step.value ?? -Infinity })) : value
  );
}

/** The frames as the panel shows them, and its field configuration as it was applied. */
export async function shown(panel, frames, theme, timeZone) {
  const unknown = panel.transformations.filter(({ id }) => !standardTransformersRegistry.getIfExists(id));
  if (unknown.length > 0) {
    throw new Error(`transformations that the preview does not know: ${unknown.map(({ id }) => id)}`);
  }
  const fieldConfig = withBase(panel.fieldConfig);
  const data = await new Promise((next, error) =>
    transformDataFrame(panel.transformations, frames).subscribe({ next, error })
  );
  const applied = applyFieldOverrides({
    data,
    fieldConfig,
    fieldConfigRegistry: properties(fieldConfig),
    replaceVariables: (text) => text,
    theme,
    timeZone,
  });
  cacheFieldDisplayNames(applied);
  return { frames: applied, fieldConfig };
}
