// Swagger UI over the studio's own description; nothing comes from elsewhere.

SwaggerUIBundle({
  url: "api/openapi.json",
  dom_id: "#interface",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
