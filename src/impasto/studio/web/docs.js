// Swagger UI for the studio's OpenAPI description; nothing is loaded from other servers.

SwaggerUIBundle({
  url: "api/openapi.json",
  dom_id: "#interface",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
