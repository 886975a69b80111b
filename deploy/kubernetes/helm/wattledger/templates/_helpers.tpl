{{- define "wattledger.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "wattledger.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "wattledger.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "wattledger.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "wattledger.selector" -}}
app.kubernetes.io/name: {{ include "wattledger.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wattledger.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "wattledger.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: {{ .Values.demo.enabled | ternary "demo" "agent" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "wattledger.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "wattledger.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "wattledger.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Whether the pods may ask the kubelet. */}}
{{- define "wattledger.asksKubelet" -}}
{{- if and .Values.kubelet.enabled (not .Values.demo.enabled) }}true{{ end }}
{{- end }}

{{/* The settings, with the files of the providers' keys put in. */}}
{{- define "wattledger.config" -}}
{{- $config := deepCopy (.Values.config | default dict) }}
{{- if not .Values.demo.enabled }}
{{- range $role, $secret := .Values.providerKeys }}
{{- if $secret.secretName }}
{{- $file := dict "key_file" (printf "/etc/wattledger/keys/%s/%s" $role $secret.key) }}
{{- $config = mustMergeOverwrite (dict "carbon" (dict $role $file)) $config }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* Whether the agents serve under a file with TLS, passwords or limits. */}}
{{- define "wattledger.secured" -}}
{{- if .Values.webConfig.secretName }}
{{- if .Values.demo.enabled }}
{{- fail "webConfig is for the agents; simulated nodes are served without TLS and passwords" }}
{{- end }}true
{{- end }}
{{- end }}

{{/* Whether it is HTTPS that they serve. */}}
{{- define "wattledger.tls" -}}
{{- if and (include "wattledger.secured" .) .Values.webConfig.tls }}true{{ end }}
{{- end }}

{{/* An endpoint of a ServiceMonitor or PodMonitor, without its port. */}}
{{- define "wattledger.endpoint" -}}
path: {{ ((.root.Values.config).web).telemetry_path | default "/metrics" }}
{{- if include "wattledger.tls" .root }}
scheme: https
{{- end }}
{{- with .monitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
interval: {{ .monitor.interval }}
scrapeTimeout: {{ .monitor.scrapeTimeout }}
{{- $relabelings := .monitor.relabelings }}
{{- /* Alerts know agents by a job with `wattledger` in its name. */}}
{{- if not (contains "wattledger" (include "wattledger.name" .root)) }}
{{- $relabelings = append $relabelings (dict "targetLabel" "job" "replacement" "wattledger") }}
{{- end }}
{{- with $relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What a ServiceMonitor and a PodMonitor have in common beside endpoints. */}}
{{- define "wattledger.monitor" -}}
jobLabel: app.kubernetes.io/name
namespaceSelector:
  matchNames:
    - {{ .root.Release.Namespace }}
selector:
  matchLabels:
    {{- include "wattledger.selector" .root | nindent 4 }}
{{- with .monitor.sampleLimit }}
sampleLimit: {{ int64 . }}
{{- end }}
{{- with .monitor.labelLimit }}
labelLimit: {{ int64 . }}
{{- end }}
{{- end }}

{{/* Probes and port of a container. */}}
{{- define "wattledger.served" -}}
ports:
  - name: metrics
    containerPort: {{ .Values.port }}
    protocol: TCP
{{- with .Values.livenessProbe }}
livenessProbe:
  {{- include "wattledger.probe" (dict "root" $ "path" "/-/healthy") | nindent 2 }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.readinessProbe }}
readinessProbe:
  {{- include "wattledger.probe" (dict "root" $ "path" "/-/ready") | nindent 2 }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What a probe does: it holds no password and no certificate, so that where one is needed it connects only. */}}
{{- define "wattledger.probe" -}}
{{- if and (include "wattledger.secured" .root) .root.Values.webConfig.authentication -}}
tcpSocket: {port: metrics}
{{- else if include "wattledger.tls" .root -}}
httpGet: {path: {{ .path }}, port: metrics, scheme: HTTPS}
{{- else -}}
httpGet: {path: {{ .path }}, port: metrics}
{{- end }}
{{- end }}
