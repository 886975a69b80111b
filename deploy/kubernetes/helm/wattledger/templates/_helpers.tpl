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
{{- $config := deepCopy .Values.config }}
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

{{/* An endpoint of a ServiceMonitor or PodMonitor, without its port. */}}
{{- define "wattledger.endpoint" -}}
path: /metrics
interval: {{ .interval }}
scrapeTimeout: {{ .scrapeTimeout }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
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
livenessProbe:
  httpGet: {path: /-/healthy, port: metrics}
  {{- toYaml .Values.livenessProbe | nindent 2 }}
readinessProbe:
  httpGet: {path: /-/ready, port: metrics}
  {{- toYaml .Values.readinessProbe | nindent 2 }}
{{- end }}
